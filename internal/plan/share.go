package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
)

// group is all Services that share an address, the eldest first.
type group struct {
	services []Service
	outcome  *election // among all of them, once it is known
}

// shared returns the group of each address that has several Services.
func (w World) shared() map[netip.Addr]*group {
	first := make(map[netip.Addr]int, len(w.Services))
	groups := map[netip.Addr]*group{}
	for i, s := range w.Services {
		for _, a := range s.Held {
			j, seen := first[a]
			switch {
			case !seen:
				first[a] = i
			case groups[a] == nil:
				groups[a] = &group{services: []Service{w.Services[j], s}}
			default:
				groups[a].services = append(groups[a].services, s)
			}
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.services, elder)
	}
	return groups
}

// elder orders Services by how long they have held their addresses, then by creation, then by UID. One that is not known
// to hold for certain comes last.
func elder(a, b Service) int {
	if a.HeldSince.IsZero() != b.HeldSince.IsZero() {
		if a.HeldSince.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.HeldSince.Compare(b.HeldSince), a.Created.Compare(b.Created), cmp.Compare(a.UID, b.UID))
}

// among finds the one owner of an address for all who share it. A sharer that nobody can serve is left out; of the others,
// a node that serves all is taken, and where there is none, one that serves the eldest. So no sharer silences another.
//
//	sharer           nodes that can serve it      owner of the address
//	web  (eldest)    n1 n2                        n2: it serves both
//	dns              n2 n3
//	mail             none                         left out
func (f *field) among(g *group, a netip.Addr) election {
	var eldest election
	var common []elect.Candidate
	found := false
	for _, s := range g.services {
		alone := f.elect(s, a)
		if alone.owner == "" {
			continue
		}
		if !found {
			found, eldest, common = true, alone, slices.Clone(f.candidates(s, a))
			continue
		}
		common = slices.DeleteFunc(common, func(c elect.Candidate) bool { return !CanServe(s, f.family, c.Node) })
	}
	owner, ok := elect.Owner(a, common)
	if !ok {
		return eldest
	}
	return election{owner: owner, interfaces: f.interfaces(owner)}
}

// share is what the election among all sharers means for one of them.
func (f *field) share(s Service, a netip.Addr, g *group) election {
	if g.outcome == nil {
		e := f.among(g, a)
		g.outcome = &e
	}
	all := *g.outcome
	if alone := f.elect(s, a); all.owner == "" || alone.owner == "" {
		return alone
	}
	if !CanServe(s, f.family, all.owner) {
		return election{reason: ReasonSharedElsewhere, message: fmt.Sprintf(
			"%s is announced by node %s for another Service that shares it; no node has pods of all sharers, and that one has none of this Service", a, all.owner)}
	}
	return all
}
