package speaker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

func TestBFDMetrics(t *testing.T) {
	up, down := bfd.Path{Peer: routerAddr}, bfd.Path{Peer: netip.MustParseAddr("192.0.2.253")}
	running := bfd.Running{Sessions: map[bfd.Path]bfd.Status{
		up:   {State: bfd.Up, Ups: 3, Downs: 2, Detection: 900 * time.Millisecond, Interval: 300 * time.Millisecond},
		down: {State: bfd.Down, Interval: time.Second},
	}}
	var report *bgpReport
	m := prometheus.NewPedanticRegistry()
	if err := m.Register(newBFDMetrics(func() *bgpReport { return report }, func() bfd.Running { return running })); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, m); len(got) != 0 {
		t.Errorf("series before the first turn: %v", got)
	}
	report = &bgpReport{orders: orders{paths: map[string]bfd.Path{"r1": up, "r2": down, "unknown to the engine yet": {}}}}
	want := map[string]float64{
		"belfry_bfd_session_up r1": 1, "belfry_bfd_session_up r2": 0,
		"belfry_bfd_session_ups_total r1": 3, "belfry_bfd_session_ups_total r2": 0,
		"belfry_bfd_session_downs_total r1": 2, "belfry_bfd_session_downs_total r2": 0,
		"belfry_bfd_detection_time_seconds r1": 0.9, "belfry_bfd_detection_time_seconds r2": 0,
		"belfry_bfd_transmit_interval_seconds r1": 0.3, "belfry_bfd_transmit_interval_seconds r2": 1,
	}
	if diff := cmp.Diff(want, gathered(t, m)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// gathered returns the values of all series by name and peer.
func gathered(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}
