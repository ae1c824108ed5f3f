package spec

import (
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Endpoints is where a Service's pods are, each family apart: an IPv6 address is served by the endpoints of IPv6 slices
// and by no others.
type Endpoints struct{ IPv4, IPv6 Backends }

// Backends is one family's endpoints, reduced to what announcing needs: the nodes with a ready endpoint, or, if no node has
// one, the nodes with a serving, terminating one.
type Backends struct {
	Nodes    []string // sorted, distinct
	Anywhere bool     // an endpoint without a node name: it counts for every node
	Counts   []int    // how many each of Nodes has; nil: one each
	Floating int      // how many have no node name; 0 with Anywhere: one
}

// Of returns the endpoints that serve addresses of the family.
func (e Endpoints) Of(f Family) Backends {
	if f == IPv6 {
		return e.IPv6
	}
	return e.IPv4
}

// Any tells whether anything serves at all.
func (b Backends) Any() bool { return b.Anywhere || len(b.Nodes) > 0 }

// On tells whether the node has an endpoint of its own.
func (b Backends) On(node string) bool {
	if b.Anywhere {
		return true
	}
	_, found := slices.BinarySearch(b.Nodes, node)
	return found
}

// Count returns how many endpoints the node has, those that count for every node included.
func (b Backends) Count(node string) int {
	n := b.floating()
	i, found := slices.BinarySearch(b.Nodes, node)
	switch {
	case !found:
	case b.Counts == nil:
		n++
	default:
		n += b.Counts[i]
	}
	return n
}

// floating is how many endpoints have no node name.
func (b Backends) floating() int {
	if b.Anywhere && b.Floating == 0 {
		return 1
	}
	return b.Floating
}

func (b Backends) equal(o Backends) bool {
	return b.Anywhere == o.Anywhere && b.Floating == o.Floating && slices.Equal(b.Nodes, o.Nodes) && slices.Equal(b.Counts, o.Counts)
}

// Slice is one EndpointSlice. Which of its endpoints count depends on the Service's other slices.
type Slice struct {
	Family Family
	Ready  Backends
	// Serving has those that are at least serving: ready or terminating.
	Serving Backends
}

// Equal tells whether announcing would be the same with either, whatever the Service's other slices are.
func (s Slice) Equal(o Slice) bool {
	return s.Family == o.Family && s.Ready.equal(o.Ready) && s.Serving.equal(o.Serving)
}

// ParseSlice reads an EndpointSlice. One of names (FQDN) serves no address.
func ParseSlice(o *discoveryv1.EndpointSlice) Slice {
	s := Slice{Family: IPv4}
	switch o.AddressType {
	case discoveryv1.AddressTypeIPv6:
		s.Family = IPv6
	case discoveryv1.AddressTypeIPv4:
	default:
		return s
	}
	s.Ready, s.Serving = collect(o.Endpoints, isReady), collect(o.Endpoints, isServing)
	if s.Serving.equal(s.Ready) {
		s.Serving = s.Ready // mostly: they share their room
	}
	return s
}

// ParseEndpoints reads all slices of one Service.
func ParseEndpoints(slicesOfService []discoveryv1.EndpointSlice) Endpoints {
	parsed := make([]Slice, len(slicesOfService))
	for i := range slicesOfService {
		parsed[i] = ParseSlice(&slicesOfService[i])
	}
	return JoinSlices(parsed)
}

// JoinSlices makes one of all slices of a Service.
func JoinSlices(slicesOfService []Slice) Endpoints {
	return Endpoints{IPv4: joinFamily(slicesOfService, IPv4), IPv6: joinFamily(slicesOfService, IPv6)}
}

func joinFamily(all []Slice, f Family) Backends {
	var ready, serving []Backends
	for _, s := range all {
		if s.Family == f {
			ready, serving = append(ready, s.Ready), append(serving, s.Serving)
		}
	}
	if b := join(ready); b.Any() {
		return b
	}
	return join(serving)
}

func join(all []Backends) Backends {
	if len(all) == 1 {
		return all[0]
	}
	nodes, floating := map[string]int{}, 0
	for _, b := range all {
		floating += b.floating()
		for i, name := range b.Nodes {
			n := 1
			if b.Counts != nil {
				n = b.Counts[i]
			}
			nodes[name] += n
		}
	}
	return newBackends(nodes, floating)
}

func collect(endpoints []discoveryv1.Endpoint, counts func(discoveryv1.EndpointConditions) bool) Backends {
	nodes, floating := map[string]int{}, 0
	for _, ep := range endpoints {
		n := max(len(ep.Addresses), 1) // alike endpoints may be told as one with several addresses
		switch {
		case !counts(ep.Conditions):
		case ep.NodeName == nil:
			floating += n
		default:
			nodes[*ep.NodeName] += n
		}
	}
	return newBackends(nodes, floating)
}

// newBackends of so many endpoints on each node, and on none.
func newBackends(nodes map[string]int, floating int) Backends {
	b := Backends{Anywhere: floating > 0}
	if floating > 1 {
		b.Floating = floating
	}
	if len(nodes) == 0 {
		return b
	}
	b.Nodes = slices.AppendSeq(make([]string, 0, len(nodes)), maps.Keys(nodes))
	slices.Sort(b.Nodes)
	counts := make([]int, len(b.Nodes))
	for i, name := range b.Nodes {
		counts[i] = nodes[name]
	}
	if slices.Max(counts) > 1 {
		b.Counts = counts
	}
	return b
}

// isReady: unset means ready (EndpointConditions, discovery.k8s.io/v1).
func isReady(c discoveryv1.EndpointConditions) bool { return c.Ready == nil || *c.Ready }

// isServing: unset means the same as ready.
func isServing(c discoveryv1.EndpointConditions) bool {
	if c.Serving == nil {
		return isReady(c)
	}
	return *c.Serving
}
