package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/controllers"
)

func holder(t *testing.T) string {
	t.Helper()
	l := get(t, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: controllers.LeaseName}})
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// TestLeaderKilledBetweenPromiseAndPatch: the leader has promised addresses that it never got to write, some of them it
// wrote without ever hearing of it, and then it is cut off.
func TestLeaderKilledBetweenPromiseAndPatch(t *testing.T) {
	const n = 30
	clean(t)
	create(t, newPool("a", "10.32.0.0/24"))
	leader := start(t)
	first := newService("before")
	create(t, first)
	hasAddresses(t, first, "10.32.0.0")
	was := holder(t)
	standby := start(t)

	halves := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/services/half-")
	}
	leader.net.loseAnswer.Store(&halves)
	none := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/services/none-")
	}
	leader.net.refuse.Store(&none)
	for i := range n {
		create(t, newService(fmt.Sprintf("none-%02d", i)), newService(fmt.Sprintf("half-%02d", i)))
	}
	leader.kill()
	late := newService("after")
	create(t, late)
	allUnique(t, 2*n+2)
	hasAddresses(t, first, "10.32.0.0")
	if now := holder(t); now == was || now == "" {
		t.Errorf("%q holds the lease, as before the leader was killed", now)
	}
	if err := <-leader.ended; err == nil || !strings.Contains(err.Error(), "leader election lost") {
		t.Errorf("the old leader ended with %v, want that it lost the election", err)
	} else {
		leader.ended <- err
	}
	if got := standby.metric("belfry_assignments_total", "allocated=true"); got == 0 {
		t.Error("the standby counted no assignment")
	}
}

// TestLeaderLeaves: in an orderly end the next one need not wait for the lease to run out.
func TestLeaderLeaves(t *testing.T) {
	clean(t)
	create(t, newPool("a", "10.33.0.0/24"))
	leader := start(t)
	s := newService("first-leader")
	create(t, s)
	hasAddresses(t, s, "10.33.0.0")
	standby := start(t)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	next := newService("second-leader")
	create(t, next)
	hasAddresses(t, next, "10.33.0.1")
	if got := standby.net.written()["PATCH services/status"]; got != 1 {
		t.Errorf("the new leader wrote %v, want one patch", standby.net.written())
	}
}

// TestStandbyWritesNothing: a replica that does not lead leaves everything alone.
func TestStandbyWritesNothing(t *testing.T) {
	clean(t)
	create(t, newPool("a", "10.34.0.0/24"))
	leader := start(t)
	s := newService("only-once")
	create(t, s)
	hasAddresses(t, s, "10.34.0.0")
	standby := start(t, often)
	for i := range 10 {
		s := newService(fmt.Sprintf("only-once-%d", i))
		create(t, s)
		hasAddresses(t, s, fmt.Sprintf("10.34.0.%d", i+1))
	}
	if got := standby.net.written(); len(got) != 0 {
		t.Errorf("the standby wrote %v", got)
	}
	if got := leader.net.written()["PATCH services/status"]; got != 11 {
		t.Errorf("the leader wrote %v, want 11 patches", leader.net.written())
	}
}

// TestWritesHaveAServerSideTimeout: the API server is told to give up on each write.
func TestWritesHaveAServerSideTimeout(t *testing.T) {
	clean(t)
	create(t, newPool("a", "10.35.0.0/24"))
	asked := make(chan string, 100)
	watch := func(r *http.Request) bool {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/status") {
			asked <- r.URL.Query().Get("timeout")
		}
		return false
	}
	c := start(t)
	c.net.refuse.Store(&watch)
	s := newService("timed")
	create(t, s)
	hasAddresses(t, s, "10.35.0.0")
	if got := <-asked; got != controllers.DefaultTiming().Write.String() {
		t.Errorf("a write asked for a timeout of %q, want %v", got, controllers.DefaultTiming().Write)
	}
}

// TestLeaderEndsWithWritesOnTheWay: it gives the lease away only when the last of them has returned.
func TestLeaderEndsWithWritesOnTheWay(t *testing.T) {
	const n = 50
	clean(t)
	create(t, newPool("a", "10.36.0.0/24"))
	leader := start(t)
	s := newService("warm")
	create(t, s)
	hasAddresses(t, s, "10.36.0.0")
	was, gate := holder(t), make(chan struct{})
	leader.net.gate.Store(&gate)
	for i := range n {
		create(t, newService(fmt.Sprintf("wave-%03d", i)))
	}
	eventually(t, "patches on their way", func() error {
		if got := leader.net.waiting.Load(); got < 32 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	leader.cancel()
	if now := holder(t); now != was {
		t.Errorf("%q holds the lease while writes are on their way, want %q", now, was)
	}
	close(gate)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	if now, left := holder(t), leader.net.atRelease.Load(); now != "" || left != 0 {
		t.Errorf("%q holds the lease; %d writes were on their way when it was last written", now, left)
	}
	start(t)
	allUnique(t, n+1)
}

// TestFreedBeforeTheLeaderWasKilled: what the killed leader could not write down any more, the standby has seen.
func TestFreedBeforeTheLeaderWasKilled(t *testing.T) {
	clean(t)
	pool := newPool("rests", "192.0.2.195")
	pool.Spec.ReuseCooldown = &metav1.Duration{Duration: time.Hour}
	create(t, pool)
	leader := start(t)
	last, next := newService("last-user"), newService("next-user")
	create(t, last)
	hasAddresses(t, last, "192.0.2.195")
	standby := start(t, quietly)
	create(t, newService("marker", func(s *corev1.Service) { s.Spec.LoadBalancerClass = new("example.com/none") }))
	eventually(t, "a warm standby", func() error {
		if !standby.net.heardOf("marker") {
			return errors.New("it has not heard of what was created last")
		}
		return nil
	})
	leader.kill()
	must(t, shared.client.Delete(t.Context(), last))
	create(t, next)
	hasReason(t, next, metav1.ConditionFalse, "Resting")
	if get(t, pool); len(pool.Status.Freed) > 1 {
		t.Errorf("remembered: %v", pool.Status.Freed)
	}
}
