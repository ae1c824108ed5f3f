package l2

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	arpReplies, ndpReplies *prometheus.CounterVec // interface
	gratuitous             *prometheus.CounterVec // interface, protocol
	probes, conflicts      *prometheus.CounterVec // interface, protocol
	failures               *prometheus.CounterVec // interface, protocol
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "belfry", Subsystem: "l2", Name: name, Help: help}, labels)
	}
	m := &metrics{
		arpReplies: counter("arp_replies_total", "ARP requests answered.", "interface"),
		ndpReplies: counter("ndp_replies_total", "IPv6 neighbour solicitations answered.", "interface"),
		gratuitous: counter("gratuitous_total", "Gratuitous ARP packets and unsolicited neighbour advertisements sent.", "interface", "protocol"),
		probes:     counter("probes_total", "Probes sent for addresses that were not to be announced before.", "interface", "protocol"),
		conflicts:  counter("conflicts_total", "Other stations found to have an address of ours.", "interface", "protocol"),
		failures:   counter("socket_failures_total", "Sockets that could not be opened or failed, and were tried again.", "interface", "protocol"),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering L2 metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) all() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.arpReplies, m.ndpReplies, m.gratuitous, m.probes, m.conflicts, m.failures}
}

// forget drops an interface that is no more.
func (m *metrics) forget(name string) {
	for _, v := range m.all() {
		v.DeletePartialMatch(prometheus.Labels{"interface": name})
	}
}

func (m *metrics) replies(name string, p protocol) prometheus.Counter {
	if p == protocolARP {
		return m.arpReplies.WithLabelValues(name)
	}
	return m.ndpReplies.WithLabelValues(name)
}
