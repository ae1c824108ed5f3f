package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// seat is one address and all Services that have it.
type seat struct {
	addr   netip.Addr
	shares []share       // the eldest first
	slate  *elect.Slate  // nil while nobody can have it
	place  int           // in the election; meaningless without a slate
	claims []elect.Claim // the ledger's
	heard  bool          // it is left to a node that has it outside of our rules
}

// share is one of the Services of an address.
type share struct {
	service *Service
	field   *field
	slate   *elect.Slate // of those that could have the address if it were this Service's alone
	why     *Withheld    // why nobody could; nil if somebody could
}

// fill finds out who may have the address.
//
// A sharer that nobody can serve is left out; of the others, nodes that serve all are taken, and where there is none, those
// that serve the eldest. So no sharer silences another.
//
//	sharer           nodes that can serve it      owner of the address
//	web  (eldest)    n1 n2                        n2: it serves both
//	dns              n2 n3
//	mail             none                         left out
func (s *seat) fill(l *ledger) {
	s.claims, s.slate = l.claims[s.addr], nil
	slices.SortStableFunc(s.shares, func(a, b share) int { return elder(*a.service, *b.service) })
	var served []share
	for i := range s.shares {
		if sh := &s.shares[i]; sh.judge(s) {
			served = append(served, *sh)
		}
	}
	switch len(served) {
	case 0:
	case 1:
		s.slate = served[0].slate
	default:
		s.slate = s.common(served)
	}
	s.yield(l)
}

// yield leaves the address to a node that was heard to have it before anybody here has announced it: another announcer on
// that node, during a migration, holds it, and both name the same hardware address.
func (s *seat) yield(l *ledger) {
	s.heard = false
	node, ok := l.heard[s.addr]
	if !ok || s.slate == nil || !l.untried(s.addr) {
		return
	}
	if only := s.slate.Only(node); only != nil {
		s.slate, s.heard = only, true
	}
}

// judge tells whether anybody could have the address if it were this sharer's alone.
func (sh *share) judge(s *seat) bool {
	sh.slate, sh.why = nil, nil
	svc, f := sh.service, sh.field
	withhold := func(r spec.Reason, format string, args ...any) bool {
		sh.why = &Withheld{svc.Key, s.addr, r, fmt.Sprintf(format, args...), ""}
		return false
	}
	switch {
	case svc.ProxyName != "":
		return withhold(ReasonServiceProxy, "label %s=%s hands the Service to another proxy", spec.ProxyNameLabel, svc.ProxyName)
	case !f.advertised:
		return withhold(ReasonNoAdvertisement, "no L2Advertisement selects pool %q", f.pool)
	case !f.selected:
		return withhold(ReasonNoAdvertisement, "no L2Advertisement of pool %q selects the Service", f.pool)
	case !svc.Endpoints.Of(f.family).Any():
		return withhold(ReasonNoEndpoints, "the Service has no ready endpoint of %s", f.family)
	}
	sh.slate = f.slate(svc, s.addr)
	if !sh.slate.Possible(s.claims) {
		return withhold(ReasonNoNode, "no node can announce it: %s", f.refusals(svc))
	}
	return true
}

// common returns the candidates that serve all, as the eldest prefers them, or the eldest's.
func (s *seat) common(served []share) *elect.Slate {
	first := served[0]
	in := first.field.containing(s.addr)
	cs := slices.DeleteFunc(first.field.candidates(first.service, in), func(c elect.Candidate) bool {
		return slices.ContainsFunc(served[1:], func(o share) bool { return o.slate.Fit(c.Node) == 0 })
	})
	if all := elect.NewSlate(cs); all.Possible(s.claims) {
		return all
	}
	return first.slate
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
	return cmp.Or(a.HeldSince.Compare(b.HeldSince), a.Created.Compare(b.Created), cmp.Compare(a.UID, b.UID),
		cmp.Compare(a.Key.String(), b.Key.String()))
}
