package speaker

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
)

func TestTakeovers(t *testing.T) {
	claims := func(epochs ...uint64) (out []plan.Claim) {
		for i, e := range epochs {
			if e > 0 {
				out = append(out, plan.Claim{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Epoch: e})
			}
		}
		return out
	}
	tests := []struct {
		name        string
		before, now plan.Facts
		want        int
	}{
		{"nothing", plan.Facts{}, plan.Facts{}, 0},
		{"nobody had it", plan.Facts{}, plan.Facts{Claims: claims(1, 1)}, 0},
		{"it stays", plan.Facts{Claims: claims(2, 1)}, plan.Facts{Claims: claims(2, 1)}, 0},
		{"another had two", plan.Facts{Claims: claims(0, 0, 1)}, plan.Facts{Claims: claims(2, 3, 1)}, 2},
		{"lost and taken back", plan.Facts{Claims: claims(2)}, plan.Facts{Claims: claims(4)}, 1},
		{"it was this node's before the restart", plan.Facts{Absent: map[string][]plan.Claim{"n1": claims(3)}}, plan.Facts{Claims: claims(3)}, 0},
		{"it was another's that is away", plan.Facts{Absent: map[string][]plan.Claim{"n2": claims(3)}}, plan.Facts{Claims: claims(4)}, 1},
		{"it goes", plan.Facts{Claims: claims(2)}, plan.Facts{}, 0},
	}
	for _, tt := range tests {
		if got := takeovers("n1", tt.before, tt.now); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestContestedAddressesAreThoseOfForeignHosts(t *testing.T) {
	r := rivals{
		netip.MustParseAddr("192.0.2.1"): {Other: l2.Other{Station: "n2"}},
		netip.MustParseAddr("192.0.2.2"): {Other: l2.Other{}},
	}
	if got := r.foreign(); got != 1 {
		t.Errorf("%d, want 1", got)
	}
}

func written(t *testing.T, m prometheus.Metric) *dto.Metric {
	t.Helper()
	out := &dto.Metric{}
	must(t, m.Write(out))
	return out
}

// valueOf a gauge or a counter.
func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	out := written(t, m)
	return out.GetGauge().GetValue() + out.GetCounter().GetValue()
}

func TestMetricsOfPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			for name, is := range map[string][2]float64{
				"ready":    {valueOf(t, r.passer.metrics.ready), 1},
				"draining": {valueOf(t, r.passer.metrics.draining), 0},
				"missing":  {valueOf(t, r.passer.metrics.missing), 1}, // n2 has a Pod
			} {
				if is[0] != is[1] {
					t.Errorf("%s is %v, want %v", name, is[0], is[1])
				}
			}
			if written(t, r.passer.metrics.plan).GetHistogram().GetSampleCount() == 0 {
				t.Error("no plan was timed")
			}
			n := newNode("n1")
			must(t, r.api.Get(t.Context(), client.ObjectKeyFromObject(n), n))
			n.Annotations = map[string]string{v1beta1.Drain: "true"}
			must(t, r.api.Update(t.Context(), n))
			r.dirt.markAll()
			r.changed.raise()
			r.rest()
			if got := valueOf(t, r.passer.metrics.draining); got != 1 {
				t.Errorf("draining is %v after the node was marked", got)
			}
		})
		r.passer.metrics.wrote("SpeakerStatus", errors.New("no"))
		if got := valueOf(t, r.passer.metrics.writes.WithLabelValues("SpeakerStatus", "error")); got != 1 {
			t.Errorf("%v writes counted", got)
		}
	})
}
