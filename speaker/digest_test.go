package speaker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// plan returns what was last reported about the plan.
func (r *rig) plan() v1beta1.SpeakerPlan { return *r.reports[len(r.reports)-1].Plan }

func TestDigestFollowsThePlanThatIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			elapse(time.Hour)
			first := r.plan()
			if age := time.Since(first.Since.Time); age < time.Hour || age > time.Hour+holdDown {
				t.Errorf("the plan is of %s ago", age)
			}
			service := slim[*knownService](t, newService("web2"))
			r.known.put(service)
			r.dirt.mark(service.Key)
			r.changed.raise()
			r.rest()
			if got := r.plan(); got != first {
				t.Errorf("a Service that makes no difference to routes: %+v became %+v", first, got)
			}

			cannot := errors.New("no socket")
			r.wire.fail.Store(&cannot)
			added := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "more"}}
			must(t, r.api.Create(t.Context(), added))
			r.dirt.markAll()
			r.changed.raise()
			elapse(time.Minute)
			if got := r.plan(); got != first {
				t.Errorf("what cannot be carried out runs all the same: %+v became %+v", first, got)
			}
			r.wire.fail.Store(nil)
			elapse(2 * retryAfter)
			if got := r.plan(); got.Digest == first.Digest || !got.Since.After(first.Since.Time) {
				t.Errorf("%+v, though there is one more advertisement than for %+v", got, first)
			}
		})
	})
}

// TestRestartKeepsTheTime: a speaker that comes back to the same plan has nothing to write about it.
func TestRestartKeepsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newRig(t)
		before.during(before.fit)
		had := before.plan()
		for _, tt := range []struct {
			name   string
			digest string
			kept   bool
		}{{"the same", had.Digest, true}, {"another", "1-00", false}} {
			elapse(time.Hour)
			r := newRig(t)
			o := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
			o.Status.Plan = &v1beta1.SpeakerPlan{Digest: tt.digest, Since: had.Since}
			must(t, r.api.Create(context.Background(), o))
			r.during(r.fit)
			if got := r.plan(); got.Digest != had.Digest || got.Since.Equal(&had.Since) != tt.kept {
				t.Errorf("%s: %+v, want the time of %+v: %t", tt.name, got, had, tt.kept)
			}
		}
	})
}

func TestNoDigestWithoutNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wire.interfaces.Store(&[]l2.Interface{eth0()})
		r.o.Node = "n9"
		r.during(r.fit)
		if got := r.reports[len(r.reports)-1].Plan; got != nil {
			t.Errorf("%+v of a Node that is not known", got)
		}
	})
}
