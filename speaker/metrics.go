package speaker

import (
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
)

type metrics struct {
	pass      prometheus.Histogram
	plan      prometheus.Histogram
	failures  prometheus.Counter
	ready     prometheus.Gauge
	draining  prometheus.Gauge
	missing   prometheus.Gauge
	addresses prometheus.Gauge
	contested prometheus.Gauge
	takeovers prometheus.Counter
	snapshot  prometheus.Gauge
	keys      prometheus.Gauge
	writes    *prometheus.CounterVec
	foreign   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := metrics{
		pass:      histogram("belfry_speaker_pass_duration_seconds", "Time that one pass of gathering, planning, applying and reporting took."),
		plan:      histogram("belfry_speaker_plan_duration_seconds", "Time that planning took in one pass, from facts at hand."),
		failures:  counter("belfry_speaker_pass_failures_total", "Passes that could not be completed, and were tried again."),
		ready:     gauge("belfry_speaker_ready", "1 when the speaker may acquire addresses, 0 while it is starting."),
		draining:  gauge("belfry_speaker_draining", "1 while the node is to announce nothing: it is drained, excluded or shut down."),
		missing:   gauge("belfry_members_missing", "Speakers that have a Pod, and are not among those that are alive."),
		addresses: gauge("belfry_l2_addresses", "Addresses that this node answers for with ARP or NDP."),
		contested: gauge("belfry_l2_contested_addresses", "Addresses of ours that a host which is no node of the cluster has been heard to have of late."),
		takeovers: counter("belfry_l2_takeovers_total", "Addresses that this node has taken over from another one, dead or alive."),
		snapshot: gauge("belfry_speaker_snapshot",
			"1 while the speaker plans from its predecessor's snapshot, because the API server has been away since it started."),
		keys: gauge("belfry_speaker_gossip_keys", "Gossip keys that this speaker holds: 1, and more while the key is being changed."),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_api_writes_total",
			Help: "Writes to the API server by kind and result (ok, conflict, gone, refused, timeout, error).",
		}, []string{"kind", "result"}),
	}
	m.foreign = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "belfry_l2_foreign_hosts",
		Help: "Addresses of ours that a host has which is no node of the cluster, for the 50 newest.",
	}, []string{"interface", "mac"})
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.pass, m.plan, m.failures, m.ready, m.draining, m.missing, m.addresses, m.contested, m.takeovers, m.snapshot, m.keys, m.writes, m.foreign,
	} {
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

// wrote counts a write to the API server.
func (m metrics) wrote(kind string, err error) {
	m.writes.WithLabelValues(kind, kube.WriteResult(err)).Inc()
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// takeovers counts the claims on addresses that another node had: the first claim on an address has the epoch 1. What
// this node had before, when its speaker was last alive too, it takes from nobody.
func takeovers(node string, before, now plan.Facts) (n int) {
	had := func(list []plan.Claim, c plan.Claim) bool {
		i, found := slices.BinarySearchFunc(list, c.Addr, func(o plan.Claim, a netip.Addr) int { return o.Addr.Compare(a) })
		return found && list[i].Epoch == c.Epoch
	}
	for _, c := range now.Claims {
		if c.Epoch > 1 && !had(before.Claims, c) && !had(before.Absent[node], c) {
			n++
		}
	}
	return n
}
