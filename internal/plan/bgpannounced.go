package plan

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Hold is one Service's hold on an address.
type Hold struct {
	Service types.NamespacedName
	Addr    netip.Addr
}

// AnnouncedWithBGP tells, of each address that some BGPAdvertisement selects, why no router hears of it; the reason is "" where
// one does: then some node may announce it, serves it, and has a session with a router that is to be told
// (BGPFacts.Established). Of other addresses it tells nothing.
func AnnouncedWithBGP(w World) map[Hold]Withheld {
	out := map[Hold]Withheld{}
	if len(w.Config.BGP.Advertisements) == 0 || len(w.Nodes) == 0 {
		return out
	}
	t := newTeller(w, places(w.Services), 0, nil)
	for _, s := range t.services {
		t.seat(s)
	}
	e := newElectorate(t)
	for _, s := range t.services {
		for k, a := range s.Held {
			if l := t.selecting(s, s.PoolOf(k), spec.FamilyOf(a)); len(l.advs) > 0 {
				reason, message := t.heard(e, s, a, l)
				out[Hold{s.Key, a}] = Withheld{Service: s.Key, Addr: a, Reason: reason, Message: message}
			}
		}
	}
	return out
}

// heard looks for a node by which routers hear of a Service's address. The reason is that of the node that comes nearest.
func (t *teller) heard(e *electorate, s *Service, a netip.Addr, l *list) (spec.Reason, string) {
	f := spec.FamilyOf(a)
	if reason, message := t.nowhere(s, f); reason != "" {
		return reason, message
	}
	reason, message := ReasonNoNode, "no node can announce it"
	for j := range t.w.Nodes {
		if !t.w.Nodes[j].Alive || !t.able[j] || !t.selects(l.advs, j) || !s.servedOn(f, t.w.Nodes[j].Name) {
			continue
		}
		if r, m := t.sharedOn(t.targets[a], j); r != "" {
			reason, message = r, m
			continue
		}
		if e.tells(l, f, j) {
			return "", ""
		}
		reason, message = ReasonNoSession, "no node that can announce it has a session with a router that is to be told"
	}
	return reason, message
}

// tells tells whether a node has a session with a router that one of the advertisements is for.
func (e *electorate) tells(l *list, f spec.Family, node int) bool {
	return e.reached(reachKey{l, f, node, false})
}
