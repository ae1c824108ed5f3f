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
	Nodes    []Node    // of the cluster, whether a speaker runs there or not, by name
	Own      Own       // what only the node that is planned for knows
	BGP      OwnBGP    // the same of its sessions with routers
}

// Own is what a node knows of its own doing. Whoever plans for another node leaves it empty.
type Own struct {
	// Overdue are the addresses that this node was about to take over in a planned move, and has waited for long enough.
	Overdue map[netip.Addr]bool
}

// Service is a Service and where its pods are.
type Service struct {
	*spec.Service // not to be changed: others may share it
	Endpoints     spec.Endpoints
	// Announced: it says of itself that its addresses are announced, so they are nobody else's.
	Announced bool
}

// Node is a node of the cluster and what its speaker, and others about it, tell.
type Node struct {
	spec.Node
	Alive      bool // its speaker is a member of the group, and has not said that it is about to stop
	Ready      bool // its speaker is ready to acquire addresses
	Away       bool // its speaker restarts: it said so, or its node still lives, or it is just back; and it is not overdue
	Silent     bool // another speaker has found that not even the node answers
	Steady     bool // its speaker has been ready for so long that it may take addresses from others that are well
	Dataplane  Dataplane
	Interfaces []Interface // as last known when its speaker is away
	BGP        BGPFacts    // the same
	Facts
}

// Facts is what a speaker tells about addresses, for all to know.
type Facts struct {
	Claims []Claim            // its own, by address; as last known when the speaker is away
	Ceded  []Cession          // addresses that it has left to another node, by address
	Absent map[string][]Claim // the claims of nodes that are away, by node and address
	// Heard are the addresses that nobody has announced yet and another node was heard to have, with that node's name.
	Heard map[netip.Addr]string
}

// Claim says that a node has an address.
type Claim struct {
	Addr  netip.Addr
	Epoch uint64 // one more than any known when it was made
	// From is the node that the address is taken over from in a planned move, until that node has let go.
	From string
	// Fresh: the network has not been asked yet whether somebody else has the address.
	Fresh bool
}

// Cession says that a node has seen another's claim, answers in its favour and has no claim of its own any more.
type Cession struct {
	Addr  netip.Addr
	To    string
	Epoch uint64 // of the other's claim
}

// Interface is a network interface that a speaker may announce on.
type Interface struct {
	Name     string         `json:"name"`
	MAC      string         `json:"mac,omitempty"`
	Up       bool           `json:"up"`
	IPv4     bool           `json:"ipv4"` // it can speak ARP: it has an IPv4 address
	IPv6     bool           `json:"ipv6"` // it can speak NDP: it has an IPv6 link-local address
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
}

// carries tells whether addresses of the family can be announced on the interface now.
func (i Interface) carries(f spec.Family) bool {
	return i.Up && (f == spec.IPv4 && i.IPv4 || f == spec.IPv6 && i.IPv6)
}

// meets tells whether two interfaces are on one network, as far as their subnets tell.
func (i Interface) meets(j Interface) bool {
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return isSubnet(p) && slices.Contains(j.Prefixes, p) })
}

// isSubnet tells whether a prefix says something about the neighbours: link-local prefixes and host prefixes do not.
func isSubnet(p netip.Prefix) bool {
	return !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast()
}
