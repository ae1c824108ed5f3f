package bfd

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The reasons for which a packet is dropped.
const (
	droppedMalformed = "malformed"
	droppedTTL       = "ttl"
	droppedUnknown   = "unknown_session"
	droppedAuth      = "authentication"
)

type metrics struct {
	sessions    *prometheus.GaugeVec   // state
	dropped     *prometheus.CounterVec // reason
	transitions *prometheus.CounterVec // state
	failures    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "belfry", Subsystem: "bfd", Name: name, Help: help}
	}
	m := &metrics{
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "belfry", Subsystem: "bfd", Name: "sessions", Help: "Paths that are watched, by the state of their session (AdminDown, Down, Init, Up).",
		}, []string{"state"}),
		dropped:     prometheus.NewCounterVec(counter("dropped_packets_total", "Packets that were received and thrown away."), []string{"reason"}),
		transitions: prometheus.NewCounterVec(counter("transitions_total", "States that sessions entered, up or down."), []string{"state"}),
		failures:    prometheus.NewCounter(counter("socket_failures_total", "Sockets that could not be opened or failed, and were tried again.")),
	}
	for _, reason := range []string{droppedMalformed, droppedTTL, droppedUnknown, droppedAuth} {
		m.dropped.WithLabelValues(reason)
	}
	for _, state := range []State{Up, Down} {
		m.transitions.WithLabelValues(state.String())
	}
	m.show(Running{})
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sessions, m.dropped, m.transitions, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering BFD metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

// show counts the sessions by state.
func (m *metrics) show(r Running) {
	count := map[State]float64{}
	for _, s := range r.Sessions {
		count[s.State]++
	}
	for state := AdminDown; state <= Up; state++ {
		m.sessions.WithLabelValues(state.String()).Set(count[state])
	}
}
