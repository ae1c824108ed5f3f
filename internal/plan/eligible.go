package plan

import (
	"cmp"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// runner is what a node has to do with the addresses of a field.
type runner struct {
	name       string
	place      int    // among all nodes
	hash       uint64 // of its name
	weight     int
	interfaces []Interface // allowed and able to, by name
	names      []string    // theirs
	subnets    []int       // those of the field's that its interfaces have
	fit        elect.Fitness
	reason     spec.Reason // why it may not acquire, "" if it may
	// lingers: the node is to have nothing, but what it has it can hand over without a gap.
	lingers bool
}

// runner judges a node by the advertisements for addresses of one family.
//
//	                        keeps what it has   acquires
//	speaker ready                  x                x
//	speaker starting               x
//	Node not Ready, proxy ill      x
//	draining, excluded         hands it over
//	speaker restarting       others answer for it
func (n Node) runner(place int, advs []spec.L2Advertisement, f spec.Family) runner {
	r := runner{name: n.Name, place: place, hash: elect.Hash(n.Name)}
	var selecting []spec.L2Advertisement
	for _, a := range advs {
		if a.SelectsNode(n.Labels) {
			selecting, r.weight = append(selecting, a), r.weight+a.Weight(n.Labels)
		}
	}
	for _, i := range n.Interfaces { // what a node that is not selected any more had, it had anywhere
		if i.carries(f) && (len(selecting) == 0 || allowed(i.Name, selecting)) {
			r.interfaces = append(r.interfaces, i)
		}
	}
	slices.SortFunc(r.interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	for _, i := range r.interfaces {
		r.names = append(r.names, i.Name)
	}
	r.judge(n, len(selecting) > 0)
	return r
}

func (r *runner) judge(n Node, selected bool) {
	// Of a node that is away the interfaces may not have come about.
	reaches := len(r.interfaces) > 0 || n.Away && len(n.Interfaces) == 0
	r.reason = cmp.Or(n.canAcquire(), unless(selected, ReasonNotSelected), unless(reaches, ReasonNoInterface))
	if r.reason == "" {
		r.fit |= elect.Acquires
		if n.Steady {
			r.fit |= elect.Steady
		}
	}
	leaving := n.Draining || n.Excluded || !selected
	switch {
	case n.Silent || !reaches:
	case leaving:
		r.lingers = n.Alive
	default:
		r.fit |= n.holds()
	}
}

// holds tells which claims of the node stand.
func (n Node) holds() (f elect.Fitness) {
	if n.Alive {
		f |= elect.Keeps
	}
	if n.Away {
		f |= elect.Returns
	}
	return f
}

func unless(ok bool, r spec.Reason) spec.Reason {
	if ok {
		return ""
	}
	return r
}

// canAcquire tells what keeps the node from acquiring anything, "" for nothing: the first reason in the order in which
// somebody looking for the cause would ask.
func (n Node) canAcquire() spec.Reason {
	switch {
	case !n.Alive:
		return ReasonNoSpeaker
	case n.Silent:
		return ReasonNodeSilent
	case !n.Ready:
		return ReasonSpeakerNotReady
	case !n.Node.Ready:
		return ReasonNodeNotReady
	case n.Excluded:
		return ReasonExcluded
	case n.Draining:
		return ReasonDraining
	case n.Dataplane == DataplaneUnhealthy:
		return ReasonDataplane
	case n.Dataplane == DataplaneWaiting:
		return ReasonDataplaneWaiting
	}
	return ""
}

// CanServe tells whether packets for an address of this family of the Service that reach the node reach a pod: with
// externalTrafficPolicy Local the node must have an endpoint of the family, else any one anywhere will do. Layer 2 and BGP
// share it.
func CanServe(s Service, f spec.Family, node string) bool { return s.servedOn(f, node) }

func (s *Service) servedOn(f spec.Family, node string) bool {
	if s.Local {
		return s.Endpoints.Of(f).On(node)
	}
	return s.Endpoints.Of(f).Any()
}

// allowed tells whether one of the advertisements allows the interface.
func allowed(name string, advs []spec.L2Advertisement) bool {
	return slices.ContainsFunc(advs, func(a spec.L2Advertisement) bool {
		return a.SelectsInterface(name)
	})
}
