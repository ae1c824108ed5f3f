package controllers

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestNewsWait: nothing is told while addresses are being written, then a few at a time, and at the end not too many.
func TestNewsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		n := &news{tell: func(_ client.Object, x notice) bool { told = append(told, x.reason); return true }}
		if n.due(false) != nil {
			t.Error("it rings though there is nothing to tell")
		}
		for range tellAtOnce + 2*tellInTheEnd {
			n.add(web(), notice{reason: "a"})
		}
		if n.due(true) != nil {
			t.Error("it rings though there is more important work")
		}
		began := time.Now()
		<-n.due(false)
		if n.some(); len(told) != tellAtOnce || time.Since(began) != tellEvery {
			t.Errorf("%d told after %v", len(told), time.Since(began))
		}
		if n.rest(); len(told) != tellAtOnce+tellInTheEnd || n.due(false) != nil {
			t.Errorf("%d told in the end", len(told))
		}
	})
}

// TestNewsAreToldOnABusyDay: that other things happen all the time does not put them off.
func TestNewsAreToldOnABusyDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &news{tell: func(client.Object, notice) bool { return true }}
		n.add(web(), notice{reason: "a"})
		for range 9 {
			time.Sleep(tellEvery / 10)
			n.add(web(), notice{reason: "b"})
			n.due(false)
		}
		began := time.Now()
		if <-n.due(false); time.Since(began) != tellEvery/10 {
			t.Errorf("%v more to wait", time.Since(began))
		}
	})
}

// TestNewsAreKept: what cannot be told now is told later, in order.
func TestNewsAreKept(t *testing.T) {
	var told []string
	room := 1
	n := &news{tell: func(_ client.Object, x notice) bool {
		if room == 0 {
			return false
		}
		told, room = append(told, x.reason), room-1
		return true
	}}
	n.add(web(), notice{reason: "a"}, notice{reason: "b"}, notice{reason: "c"})
	n.some()
	n.some()
	room = 2
	n.some()
	if !slices.Equal(told, []string{"a", "b", "c"}) || n.queue != nil {
		t.Errorf("told %v, left %v", told, n.queue)
	}
}
