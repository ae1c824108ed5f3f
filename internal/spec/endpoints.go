package spec

import (
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Endpoints is where a Service's pods are, reduced to what announcing needs: the nodes with a ready endpoint, or, if no
// node has one, the nodes with a serving, terminating one.
type Endpoints struct {
	Nodes    []string // sorted, distinct
	Anywhere bool     // an endpoint without a node name: it counts for every node
}

// Any tells whether anything serves at all.
func (e Endpoints) Any() bool { return e.Anywhere || len(e.Nodes) > 0 }

// On tells whether the node has an endpoint of its own.
func (e Endpoints) On(node string) bool {
	if e.Anywhere {
		return true
	}
	_, found := slices.BinarySearch(e.Nodes, node)
	return found
}

// Equal tells whether announcing would be the same with either.
func (e Endpoints) Equal(o Endpoints) bool {
	return e.Anywhere == o.Anywhere && slices.Equal(e.Nodes, o.Nodes)
}

// ParseEndpoints reads all slices of one Service.
func ParseEndpoints(slicesOfService []discoveryv1.EndpointSlice) Endpoints {
	if ready := collect(slicesOfService, isReady); ready.Any() {
		return ready
	}
	return collect(slicesOfService, isServing)
}

// EndpointsOf reads one slice: its ready endpoints, or those that are at least serving.
func EndpointsOf(slice *discoveryv1.EndpointSlice, ready bool) Endpoints {
	counts := isServing
	if ready {
		counts = isReady
	}
	return collect([]discoveryv1.EndpointSlice{*slice}, counts)
}

func collect(all []discoveryv1.EndpointSlice, counts func(discoveryv1.EndpointConditions) bool) Endpoints {
	var e Endpoints
	nodes := map[string]bool{}
	for i := range all {
		for _, ep := range all[i].Endpoints {
			switch {
			case !counts(ep.Conditions):
			case ep.NodeName == nil:
				e.Anywhere = true
			default:
				nodes[*ep.NodeName] = true
			}
		}
	}
	e.Nodes = slices.Sorted(maps.Keys(nodes))
	return e
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
