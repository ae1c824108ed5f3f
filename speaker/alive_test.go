package speaker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// TestAliveUnlessAPassHangs: /healthz says no while a pass hangs, and to nothing that another program can do.
func TestAliveUnlessAPassHangs(t *testing.T) {
	broken := errors.New("connection refused")
	for _, tt := range []struct {
		name  string
		setup func(*rig)
		dead  time.Duration // after how long; 0: never
	}{
		{"well, and nothing happens", func(*rig) {}, 0},
		{"every pass fails", func(r *rig) { r.wire.fail.Store(&broken) }, 0},
		{"a slow pass", func(r *rig) { r.wire.takes = kube.PassMost - time.Second }, 0},
		{"the API server does not answer", func(r *rig) {
			r.o.Direct = interceptor.NewClient(r.api, interceptor.Funcs{
				List: func(ctx context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) error {
					<-ctx.Done()
					return ctx.Err()
				},
			})
		}, 0},
		{"a pass that hangs", func(r *rig) { r.wire.takes = time.Hour }, kube.PassMost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Speaker
				r := newRig(t)
				r.passer.ready, r.passer.passing = &s.ready, &s.passing
				must(t, r.api.Create(t.Context(), &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}))
				tt.setup(r)
				r.during(func() {
					began := time.Now()
					r.fit()
					for time.Since(began) < 10*kube.PassMost {
						elapse(time.Second)
						err, after := s.Alive(), time.Since(began)
						if err != nil && (tt.dead == 0 || after < tt.dead || !strings.Contains(err.Error(), "a pass has been running for")) {
							t.Fatalf("after %v: %v", after, err)
						}
						if err == nil && tt.dead > 0 && after > tt.dead+2*time.Second {
							t.Fatalf("alive after %v", after)
						}
					}
				})
				if err := s.Alive(); err != nil {
					t.Errorf("none runs: %v", err)
				}
			})
		})
	}
}

// TestAliveWhileItWaitsToBegin: no pass has run yet.
func TestAliveWhileItWaitsToBegin(t *testing.T) {
	if err := new(Speaker).Alive(); err != nil {
		t.Error(err)
	}
}
