package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
)

// stuck answers no list for a time.
type stuck struct {
	client.Reader
	takes time.Duration
}

var errLate = errors.New("at last")

func (s stuck) List(context.Context, client.ObjectList, ...client.ListOption) error {
	time.Sleep(s.takes)
	return errLate
}

// TestAliveUnlessAPassHangs: the leader's liveness fails while a pass hangs, and only then.
func TestAliveUnlessAPassHangs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		dead  bool
	}{
		{"a slow pass", kube.PassMost - time.Second, false},
		{"a pass that hangs", time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{
					allocator: &allocator{
						now: time.Now, objects: newObjects(stuck{takes: tt.takes}, newSlimmer()), inbox: newInbox(kube.Classes{}), table: alloc.New(),
						services: newLane("Service", "service"), reservations: newLane("IPReservation", "reservation"),
					},
					fullEvery: 24 * time.Hour,
				}
				ended := make(chan error, 1)
				go func() { ended <- s.loop(t.Context(), nil) }()

				time.Sleep(2 * kube.PassMost)
				if err := s.passing.Alive(); err != nil {
					t.Errorf("nothing has happened: %v", err)
				}
				began := time.Now()
				s.inbox.markConfig()
				for len(ended) == 0 {
					time.Sleep(time.Second)
					synctest.Wait()
					hangs := len(ended) == 0 && time.Since(began) > kube.PassMost
					if err := s.passing.Alive(); (err != nil) != hangs {
						t.Fatalf("after %v: %v", time.Since(began), err)
					}
				}
				if err := <-ended; !errors.Is(err, errLate) {
					t.Error(err)
				}
				if took := time.Since(began); (took > kube.PassMost) != tt.dead {
					t.Errorf("the pass took %v", took)
				}
			})
		})
	}
}
