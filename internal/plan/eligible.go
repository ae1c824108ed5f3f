package plan

import (
	"cmp"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// eligible returns the interfaces on which the node may announce what these advertisements select, of one family, or the first reason
// why it may not, in the order in which somebody looking for the cause would ask.
func (n Node) eligible(advs []spec.L2Advertisement, f spec.Family) ([]Interface, spec.Reason) {
	if reason := n.canAcquire(); reason != "" {
		return nil, reason
	}
	var selecting []spec.L2Advertisement
	for _, a := range advs {
		if a.SelectsNode(n.Labels) {
			selecting = append(selecting, a)
		}
	}
	if len(selecting) == 0 {
		return nil, ReasonNotSelected
	}
	var interfaces []Interface
	for _, i := range n.Interfaces {
		if i.carries(f) && allowed(i.Name, selecting) {
			interfaces = append(interfaces, i)
		}
	}
	if len(interfaces) == 0 {
		return nil, ReasonNoInterface
	}
	slices.SortFunc(interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return interfaces, ""
}

// canAcquire tells what keeps the node from announcing anything, "" for nothing.
func (n Node) canAcquire() spec.Reason {
	switch {
	case !n.Alive:
		return ReasonNoSpeaker
	case !n.Ready:
		return ReasonSpeakerNotReady
	case !n.Node.Ready:
		return ReasonNodeNotReady
	case n.Excluded:
		return ReasonExcluded
	case n.Draining:
		return ReasonDraining
	}
	return ""
}

// CanServe tells whether packets for an address of this family of the Service that reach the node reach a pod: with
// externalTrafficPolicy Local the node must have an endpoint of the family, else any one anywhere will do. Layer 2 and BGP
// share it.
func CanServe(s Service, f spec.Family, node string) bool {
	if s.Local {
		return s.Endpoints.Of(f).On(node)
	}
	return s.Endpoints.Of(f).Any()
}

// allowed tells whether one of the advertisements allows the interface.
func allowed(name string, advs []spec.L2Advertisement) bool {
	return slices.ContainsFunc(advs, func(a spec.L2Advertisement) bool {
		return len(a.Interfaces) == 0 || slices.Contains(a.Interfaces, name)
	})
}
