package speaker

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	pass      prometheus.Histogram
	failures  prometheus.Counter
	ready     prometheus.Gauge
	addresses prometheus.Gauge
	snapshot  prometheus.Gauge
	keys      prometheus.Gauge
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
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.pass, m.failures, m.ready, m.addresses, m.snapshot, m.keys} {
		if err := r.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}
