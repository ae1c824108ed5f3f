package controllers

import (
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestNewsWait: nothing is told while addresses are being written, then a few at a time, and at the end not too many.
func TestNewsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		n := &news{tell: func(_ client.Object, x notice) { told = append(told, x.reason) }}
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
		n := &news{tell: func(client.Object, notice) {}}
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
