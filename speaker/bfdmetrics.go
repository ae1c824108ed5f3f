package speaker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

// bfdMetrics tells of the paths to routers by the names of their BGPPeers, which the engine does not know. It is made from
// what runs whenever somebody asks, so it forgets a peer with its path.
type bfdMetrics struct {
	report  func() *bgpReport
	running func() bfd.Running

	up, ups, downs, detection, interval *prometheus.Desc
}

func newBFDMetrics(report func() *bgpReport, running func() bfd.Running) *bfdMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("belfry_bfd_"+name, help, []string{"peer"}, nil)
	}
	return &bfdMetrics{
		report: report, running: running,
		up:        describe("session_up", "1 while the session that watches the path to the peer is up."),
		ups:       describe("session_ups_total", "Times that the session came up."),
		downs:     describe("session_downs_total", "Times that the session went down, for whatever cause."),
		detection: describe("detection_time_seconds", "Silence of the peer after which the path counts as down; 0 until it has spoken."),
		interval:  describe("transmit_interval_seconds", "Time between two packets to the peer, before jitter; 0 while none are sent."),
	}
}

var _ prometheus.Collector = (*bfdMetrics)(nil)

// Describe implements prometheus.Collector.
func (m *bfdMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.up, m.ups, m.downs, m.detection, m.interval} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *bfdMetrics) Collect(out chan<- prometheus.Metric) {
	r := m.report()
	if r == nil {
		return
	}
	now := m.running()
	for peer, path := range r.orders.paths {
		s, ok := now.Sessions[path]
		if !ok {
			continue
		}
		up := 0.0
		if s.State == bfd.Up {
			up = 1
		}
		out <- prometheus.MustNewConstMetric(m.up, prometheus.GaugeValue, up, peer)
		out <- prometheus.MustNewConstMetric(m.ups, prometheus.CounterValue, float64(s.Ups), peer)
		out <- prometheus.MustNewConstMetric(m.downs, prometheus.CounterValue, float64(s.Downs), peer)
		out <- prometheus.MustNewConstMetric(m.detection, prometheus.GaugeValue, s.Detection.Seconds(), peer)
		out <- prometheus.MustNewConstMetric(m.interval, prometheus.GaugeValue, s.Interval.Seconds(), peer)
	}
}
