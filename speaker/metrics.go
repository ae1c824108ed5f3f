package speaker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

type metrics struct {
	pass      prometheus.Histogram
	failures  prometheus.Counter
	ready     prometheus.Gauge
	addresses prometheus.Gauge
	snapshot  prometheus.Gauge
	keys      prometheus.Gauge
	foreign   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		pass: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_speaker_pass_duration_seconds",
			Help:    "Time that one pass of gathering, planning, applying and reporting took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "belfry_speaker_pass_failures_total",
			Help: "Passes that could not be completed, and were tried again.",
		}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_speaker_ready",
			Help: "1 when the speaker may acquire addresses, 0 while it is starting.",
		}),
		addresses: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_l2_addresses",
			Help: "Addresses that this node answers for with ARP or NDP.",
		}),
	}
	m.snapshot = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "belfry_speaker_snapshot",
		Help: "1 while the speaker plans from its predecessor's snapshot, because the API server has been away since it started.",
	})
	m.keys = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "belfry_speaker_gossip_keys",
		Help: "Gossip keys that this speaker holds: 1, and more while the key is being changed.",
	})
	m.foreign = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "belfry_l2_foreign_hosts",
		Help: "Addresses of ours that a host has which is no node of the cluster, for the 50 newest.",
	}, []string{"interface", "mac"})
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.pass, m.failures, m.ready, m.addresses, m.snapshot, m.keys, m.foreign} {
		if err := r.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}

// showForeign tells of hosts that have addresses of ours. Hosts that forge many hardware addresses cannot make it long.
func (m metrics) showForeign(conflicts []v1beta1.SpeakerConflict) {
	m.foreign.Reset()
	for _, c := range conflicts {
		if c.Node == "" {
			m.foreign.WithLabelValues(c.Interface, c.MAC).Inc()
		}
	}
}
