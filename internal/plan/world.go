package plan

import (
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// World is every fact that a plan is made from.
type World struct {
	Config   *spec.Snapshot
	Services []Service // of our class, marked by our controller
	Nodes    []Node    // of the cluster, whether a speaker runs there or not
	BGP      OwnBGP    // what only the node that is planned for knows
}

// Service is a Service and where its pods are.
type Service struct {
	spec.Service
	Endpoints spec.Endpoints
}

// Node is a node of the cluster and what its speaker tells the others about it.
type Node struct {
	spec.Node
	Alive      bool // its speaker is a member of the group
	Ready      bool // its speaker is ready to acquire addresses
	Dataplane  Dataplane
	Interfaces []Interface
	BGP        BGPFacts
}

// Interface is a network interface that a speaker may announce on.
type Interface struct {
	Name     string         `json:"name"`
	Up       bool           `json:"up"`
	IPv4     bool           `json:"ipv4"` // it can speak ARP: it has an IPv4 address
	IPv6     bool           `json:"ipv6"` // it can speak NDP: it has an IPv6 link-local address
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
}

// carries tells whether addresses of the family can be announced on the interface now.
func (i Interface) carries(f spec.Family) bool {
	return i.Up && (f == spec.IPv4 && i.IPv4 || f == spec.IPv6 && i.IPv6)
}

// inSubnet tells whether one of the prefixes contains the address. Link-local prefixes and host prefixes say nothing
// about the neighbours and do not count.
func (i Interface) inSubnet(a netip.Addr) bool {
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool {
		return !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && p.Contains(a)
	})
}
