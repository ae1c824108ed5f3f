package controllers

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

// metrics of the controller. Only the leader's move.
type metrics struct {
	addresses   *prometheus.GaugeVec
	assignments *prometheus.CounterVec
	duration    prometheus.Histogram
	writes      *prometheus.CounterVec
	stuck       *prometheus.CounterVec
	passes      *prometheus.CounterVec
	pending     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "belfry_pool_addresses",
			Help: "Addresses of a pool by family (IPv4, IPv6) and state (assigned, available; outside: still held, no longer in any pool).",
		}, []string{"pool", "family", "state"}),
		assignments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_assignments_total",
			Help: "Services whose addresses were written, by whether they have all that they asked for and the reason.",
		}, []string{"allocated", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_assignment_duration_seconds",
			Help:    "Time from first seeing a Service without addresses until its addresses were written.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 16),
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_api_writes_total",
			Help: "Writes to the API server by kind and result (ok, conflict, gone, refused, timeout, fenced, error).",
		}, []string{"kind", "result"}),
		stuck: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_stuck_writes_total",
			Help: "How often an object (a Service, an IPReservation, a pool's status) could not be written several times in a row, by kind.",
		}, []string{"kind"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_passes_total",
			Help: "Passes of the allocator, by whether every Service was looked at.",
		}, []string{"full"}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_pending_services",
			Help: "Services that lack an address.",
		}),
	}
	for _, c := range []prometheus.Collector{m.addresses, m.assignments, m.duration, m.writes, m.stuck, m.passes, m.pending} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// write counts one write.
func (m *metrics) write(kind string, err error) {
	m.writes.WithLabelValues(kind, resultOf(err)).Inc()
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errFenced):
		return "fenced"
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return "conflict"
	case apierrors.IsNotFound(err):
		return "gone"
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return "refused"
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}

// verdict counts a verdict that now stands in a Service's status.
func (m *metrics) verdict(allocated bool, reason string) {
	m.assignments.WithLabelValues(strconv.FormatBool(allocated), reason).Inc()
}

func (m *metrics) assignedAfter(d time.Duration) { m.duration.Observe(d.Seconds()) }

func (m *metrics) pass(full bool) { m.passes.WithLabelValues(strconv.FormatBool(full)).Inc() }

// pool shows how much of a pool is in use.
func (m *metrics) pool(name string, u alloc.Usage) {
	set := func(family, state string, n int64) { m.addresses.WithLabelValues(name, family, state).Set(float64(n)) }
	set(spec.IPv4.String(), "assigned", u.AssignedIPv4)
	set(spec.IPv4.String(), "available", u.AvailableIPv4)
	set(spec.IPv6.String(), "assigned", u.AssignedIPv6)
	set(spec.IPv6.String(), "available", u.AvailableIPv6)
	m.addresses.WithLabelValues(name, "any", "outside").Set(float64(u.Outside))
}

// poolGone takes a pool's series away.
func (m *metrics) poolGone(name string) {
	m.addresses.DeletePartialMatch(prometheus.Labels{"pool": name})
}
