package members

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	changeJoin   = "join"
	changeLeave  = "leave"
	changeUpdate = "update"

	droppedMalformed = "malformed"
	droppedOverflow  = "overflow"
)

type metrics struct {
	alive        prometheus.Gauge
	changes      *prometheus.CounterVec
	joinFailures prometheus.Counter
	dropped      *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		alive: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_members_alive",
			Help: "Speakers that are alive, this one included.",
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_members_changes_total",
			Help: "Speakers that joined, left or changed their metadata, as seen from here.",
		}, []string{"change"}),
		joinFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "belfry_members_join_failures_total",
			Help: "Attempts to join another speaker that failed.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_members_dropped_messages_total",
			Help: "Messages of other speakers that were not used: malformed, or more than could be handled.",
		}, []string{"reason"}),
	}
	for _, kind := range []string{changeJoin, changeLeave, changeUpdate} {
		m.changes.WithLabelValues(kind)
	}
	for _, reason := range []string{droppedMalformed, droppedOverflow} {
		m.dropped.WithLabelValues(reason)
	}
	return m, m.register(reg)
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.alive, m.changes, m.joinFailures, m.dropped} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering the members' metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) change(kind string) { m.changes.WithLabelValues(kind).Inc() }

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }
