package controllers

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
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
	passTime    prometheus.Histogram
	pending     prometheus.Gauge
	announced   *prometheus.GaugeVec

	announcedPass prometheus.Histogram

	objects        *prometheus.GaugeVec
	peerNodes      *prometheus.GaugeVec
	communityUsers *prometheus.GaugeVec
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
		passTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_pass_duration_seconds",
			Help:    "Time that one pass of the allocator took, without the writes that follow.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_pending_services",
			Help: "Services that lack an address.",
		}),
		announced: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "belfry_announced_services",
			Help: "Services with addresses by what their condition Announced says: its status (True, False) and reason.",
		}, []string{"status", "reason"}),
		announcedPass: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_announced_pass_duration_seconds",
			Help:    "Time that one look at who announces which Service took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "belfry_configuration_objects",
			Help: "Objects of Belfry's own kinds by what their condition Ready says: its status (True, False) and reason.",
		}, []string{"kind", "status", "reason"}),
		peerNodes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "belfry_bgp_peer_nodes",
			Help: "Nodes by BGPPeer and state: those that should have a session with it (wanted) and those that have one (established).",
		}, []string{"peer", "state"}),
		communityUsers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "belfry_community_users",
			Help: "BGPAdvertisements that use a name which the Community defines.",
		}, []string{"community"}),
	}
	for _, kind := range []string{ // what has no series before it first counts is not seen to increase
		"Service", "IPReservation", "IPAddressPool", "L2Advertisement", "BGPPeer", "BGPAdvertisement", "Community", "BFDProfile",
	} {
		m.stuck.WithLabelValues(kind)
	}
	for _, c := range []prometheus.Collector{
		m.addresses, m.assignments, m.duration, m.writes, m.stuck, m.passes, m.passTime, m.pending, m.announced, m.announcedPass,
		m.objects, m.peerNodes, m.communityUsers,
	} {
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

// resultOf tells how a write ended. One that the fence has stopped was never sent.
func resultOf(err error) string {
	if errors.Is(err, errFenced) {
		return "fenced"
	}
	return kube.WriteResult(err)
}

// verdict counts a verdict that now stands in a Service's status.
func (m *metrics) verdict(allocated bool, reason string) {
	m.assignments.WithLabelValues(strconv.FormatBool(allocated), reason).Inc()
}

func (m *metrics) assignedAfter(d time.Duration) { m.duration.Observe(d.Seconds()) }

// pass counts a pass of the allocator.
func (m *metrics) pass(full bool, took time.Duration) {
	m.passes.WithLabelValues(strconv.FormatBool(full)).Inc()
	m.passTime.Observe(took.Seconds())
}

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

// announcements shows how many Services are announced, and why the others are not.
func (m *metrics) announcements(said map[types.NamespacedName]announcement) {
	type kind struct{ status, reason string }
	count := map[kind]int{}
	for _, a := range said {
		count[kind{string(a.status()), string(a.reason)}]++
	}
	m.announced.Reset()
	for k, n := range count {
		m.announced.WithLabelValues(k.status, k.reason).Set(float64(n))
	}
}

// readiness counts objects by what their condition Ready says.
type readiness map[readyAs]int

type readyAs struct{ kind, status, reason string }

func (r readiness) add(kind string, conditions []metav1.Condition) {
	if c := meta.FindStatusCondition(conditions, v1beta1.ConditionReady); c != nil {
		r[readyAs{kind, string(c.Status), c.Reason}]++
	}
}

// configuration shows all objects of some kinds.
func (m *metrics) configuration(r readiness, kinds ...string) {
	for _, kind := range kinds {
		m.objects.DeletePartialMatch(prometheus.Labels{"kind": kind})
	}
	for as, n := range r {
		m.objects.WithLabelValues(as.kind, as.status, as.reason).Set(float64(n))
	}
}

// bgpSaid is what the status of BGP's kinds says.
type bgpSaid struct {
	ready       readiness
	peers       map[string]v1beta1.BGPPeerStatus // templates, which never have a session, left out
	communities map[string]int                   // users
}

func (m *metrics) bgp(said bgpSaid) {
	m.configuration(said.ready, "BGPPeer", "BGPAdvertisement", "Community", "BFDProfile")
	m.peerNodes.Reset()
	for name, s := range said.peers {
		m.peerNodes.WithLabelValues(name, "wanted").Set(float64(s.Wanted))
		m.peerNodes.WithLabelValues(name, "established").Set(float64(s.Established))
	}
	m.communityUsers.Reset()
	for name, n := range said.communities {
		m.communityUsers.WithLabelValues(name).Set(float64(n))
	}
}
