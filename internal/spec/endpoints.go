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
}

// Of returns the endpoints that serve addresses of the family.
func (e Endpoints) Of(f Family) Backends {
	if f == IPv6 {
		return e.IPv6
	}
	return e.IPv4
}

// Equal tells whether announcing would be the same with either.
func (e Endpoints) Equal(o Endpoints) bool { return e.IPv4.equal(o.IPv4) && e.IPv6.equal(o.IPv6) }

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

func (b Backends) equal(o Backends) bool {
	return b.Anywhere == o.Anywhere && slices.Equal(b.Nodes, o.Nodes)
}

// ParseEndpoints reads all slices of one Service.
func ParseEndpoints(slicesOfService []discoveryv1.EndpointSlice) Endpoints {
	e := collect(slicesOfService, isReady)
	if e.IPv4.Any() && e.IPv6.Any() {
		return e
	}
	serving := collect(slicesOfService, isServing)
	if !e.IPv4.Any() {
		e.IPv4 = serving.IPv4
	}
	if !e.IPv6.Any() {
		e.IPv6 = serving.IPv6
	}
	return e
}

// EndpointsOf reads one slice: its ready endpoints, or those that are at least serving.
func EndpointsOf(slice *discoveryv1.EndpointSlice, ready bool) Endpoints {
	counts := isServing
	if ready {
		counts = isReady
	}
	return collect([]discoveryv1.EndpointSlice{*slice}, counts)
}

type condition = func(discoveryv1.EndpointConditions) bool

func collect(all []discoveryv1.EndpointSlice, counts condition) Endpoints {
	return Endpoints{
		IPv4: collectFamily(all, discoveryv1.AddressTypeIPv4, counts),
		IPv6: collectFamily(all, discoveryv1.AddressTypeIPv6, counts),
	}
}

func collectFamily(all []discoveryv1.EndpointSlice, family discoveryv1.AddressType, counts condition) Backends {
	var b Backends
	nodes := map[string]bool{}
	for i := range all {
		if all[i].AddressType != family {
			continue
		}
		for _, ep := range all[i].Endpoints {
			switch {
			case !counts(ep.Conditions):
			case ep.NodeName == nil:
				b.Anywhere = true
			default:
				nodes[*ep.NodeName] = true
			}
		}
	}
	b.Nodes = slices.Sorted(maps.Keys(nodes))
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
