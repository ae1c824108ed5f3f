package bgp

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// metrics of all peers, by peer.
type metrics struct {
	up, announced, withheld      *prometheus.GaugeVec
	attempts, failures, messages *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "belfry", Subsystem: "bgp", Name: name, Help: help}, []string{"peer"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "belfry", Subsystem: "bgp", Name: name, Help: help},
			append([]string{"peer"}, labels...))
	}
	m := &metrics{
		up:        gauge("session_up", "1 while the session is established."),
		announced: gauge("announced_routes", "Routes that the peer has been told."),
		withheld:  gauge("withheld_routes", "Routes that the peer cannot be told."),
		attempts:  counter("session_attempts_total", "Attempts at a session."),
		failures:  counter("session_failures_total", "Attempts and sessions that ended, by reason.", "reason"),
		messages:  counter("messages_total", "Messages, by direction and type.", "direction", "type"),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

type vector interface {
	prometheus.Collector
	DeletePartialMatch(labels prometheus.Labels) int
}

func (m *metrics) all() []vector {
	return []vector{m.up, m.announced, m.withheld, m.attempts, m.failures, m.messages}
}

// show sets a peer's gauges.
func (m *metrics) show(peer string, s Status) {
	up := 0.0
	if s.State == Established {
		up = 1
	}
	m.up.WithLabelValues(peer).Set(up)
	m.announced.WithLabelValues(peer).Set(float64(s.Announced))
	m.withheld.WithLabelValues(peer).Set(float64(len(s.Withheld)))
}

// counter returns what counts a peer's messages.
func (m *metrics) counter(peer string) func(direction string, t wire.Type) {
	return func(direction string, t wire.Type) { m.messages.WithLabelValues(peer, direction, t.String()).Inc() }
}

// forget drops a peer that is no more.
func (m *metrics) forget(peer string) {
	for _, v := range m.all() {
		v.DeletePartialMatch(prometheus.Labels{"peer": peer})
	}
}
