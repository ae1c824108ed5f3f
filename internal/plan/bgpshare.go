package plan

import (
	"fmt"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// shared tells what keeps this node from announcing an address that several Services have. Packets for any of them come to
// whoever announces it. So where some node serves them all, only such nodes do; where none does, those that serve the
// eldest. A Service that nobody serves is left out.
//
//	sharer           nodes that can serve it      the address is announced by
//	web  (eldest)    n1 n2                        n2
//	dns              n2 n3
//	mail             none                         left out
func (t *teller) shared(v *target) (spec.Reason, string) { return t.sharedOn(v, t.here) }

// sharedOn is the same for any node.
func (t *teller) sharedOn(v *target, node int) (spec.Reason, string) {
	if len(v.services) < 2 {
		return "", ""
	}
	me := t.w.Nodes[node].Name
	f := spec.FamilyOf(v.addr)
	var served []*Service
	for _, s := range v.services {
		if s.ProxyName == "" && t.somewhere(v, node, func(n string) bool { return s.servedOn(f, n) }) {
			served = append(served, s)
		}
	}
	all := func(n string) bool {
		return !slices.ContainsFunc(served, func(s *Service) bool { return !s.servedOn(f, n) })
	}
	if len(served) < 2 || all(me) {
		return "", ""
	}
	if t.somewhere(v, node, all) {
		return ReasonSharedElsewhere, fmt.Sprintf("%s is announced by nodes that have pods of all the Services that share it", v.addr)
	}
	eldest := slices.MinFunc(served, func(a, b *Service) int { return elder(*a, *b) })
	if eldest.servedOn(f, me) {
		return "", ""
	}
	return ReasonSharedElsewhere, fmt.Sprintf(
		"%s is announced by nodes that have pods of %s, the eldest of the Services that share it; no node has pods of all", v.addr, eldest.Key)
}

// somewhere tells whether a node serves that may announce the address, or this one, which does.
func (t *teller) somewhere(v *target, node int, serves func(node string) bool) bool {
	for j, n := range t.w.Nodes {
		if (j == node || t.able[j]) && t.selects(v.list.advs, j) && serves(n.Name) {
			return true
		}
	}
	return false
}

// serves tells whether packets for all the Services of an address, as far as any node serves them, may go to the node.
func (t *teller) serves(v *target, node string) bool {
	f := spec.FamilyOf(v.addr)
	return !slices.ContainsFunc(v.services, func(s *Service) bool {
		return s.ProxyName == "" && s.Endpoints.Of(f).Any() && !s.servedOn(f, node)
	})
}
