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
	Interfaces []Interface
}

// Interface is a network interface that a speaker may announce on.
type Interface struct {
	Name     string         `json:"name"`
	Up       bool           `json:"up"`
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
}

// inSubnet tells whether one of the prefixes contains the address. Link-local prefixes and host prefixes say nothing
// about the neighbours and do not count.
func (i Interface) inSubnet(a netip.Addr) bool {
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool {
		return !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && p.Contains(a)
	})
}
