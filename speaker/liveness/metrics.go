package liveness

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The reasons for which a packet is dropped.
const (
	droppedMalformed      = "malformed"
	droppedAuthentication = "authentication"
	droppedForeign        = "foreign"    // for or from somebody else
	droppedUnexpected     = "unexpected" // no request of ours waits for it
)

type metrics struct {
	targets     *prometheus.GaugeVec   // state
	transitions *prometheus.CounterVec // state
	dropped     *prometheus.CounterVec // reason
	sent        prometheus.Counter
	replies     prometheus.Counter
	answered    prometheus.Counter
	overslept   prometheus.Counter
	failures    prometheus.Counter
	roundTrip   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "belfry", Subsystem: "liveness", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	m := &metrics{
		targets:     prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("targets", "Nodes that this one probes, by what is known of them.")), []string{"state"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts(opts("transitions_total", "States that probed nodes entered.")), []string{"state"}),
		dropped:     prometheus.NewCounterVec(prometheus.CounterOpts(opts("dropped_packets_total", "Packets that were received and thrown away.")), []string{"reason"}),
		sent:        counter("requests_sent_total", "Requests sent to probed nodes."),
		replies:     counter("replies_received_total", "Replies of probed nodes that counted."),
		answered:    counter("requests_answered_total", "Requests of other nodes that were answered."),
		overslept:   counter("overslept_total", "Times that this node's prober woke up later than by an interval."),
		failures:    counter("socket_failures_total", "Sockets that could not be opened or failed, and were tried again."),
		roundTrip: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "belfry", Subsystem: "liveness", Name: "round_trip_seconds",
			Help: "Time from a request to its reply.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
	}
	for s := Unknown; s <= Silent; s++ {
		m.targets.WithLabelValues(s.String())
		m.transitions.WithLabelValues(s.String())
	}
	for _, reason := range []string{droppedMalformed, droppedAuthentication, droppedForeign, droppedUnexpected} {
		m.dropped.WithLabelValues(reason)
	}
	return m, m.register(r)
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		m.targets, m.transitions, m.dropped, m.sent, m.replies, m.answered, m.overslept, m.failures, m.roundTrip,
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering liveness metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }
