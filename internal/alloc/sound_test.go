package alloc

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// unsound looks whether the table's indexes, counters and cursors agree with its holdings, counted by hand, and returns
// what does not. Pools must be small: it looks at every address.
func unsound(t *Table) string {
	for id, h := range t.holdings.all() {
		if !slices.Contains(t.held(h.claim), id) {
			return "a holding of " + h.addr().String() + " is not on its claim's list"
		}
	}
	for _, p := range t.pools {
		var total, taken, assigned, resting [2]int64
		quota := map[uint32]int{}
		for _, s := range t.segments {
			if s.pool != p {
				continue
			}
			for n := s.from; s.contains(n); n = n.plus(1) {
				f := n.family()
				if t.inUse(n) {
					assigned[f]++
					quota[t.claims.at(eldest(t, n).claim).space()]++
				}
				if !s.offers(n) {
					continue
				}
				total[f]++
				if t.inUse(n) {
					taken[f]++
				}
				if serial, ok := p.rest[f].index[n]; ok && serial > p.rest[f].ripened {
					resting[f]++
				}
				if reason := misplaced(t, s, n); reason != "" {
					return n.addr().String() + " of pool " + p.name + reason
				}
			}
		}
		switch {
		case total != p.total:
			return "pool " + p.name + " counts its addresses wrongly"
		case taken != p.taken || assigned != p.assigned:
			return "pool " + p.name + " counts wrongly what is in use"
		case resting != [2]int64{p.rest[0].resting, p.rest[1].resting}:
			return "pool " + p.name + " counts wrongly what rests"
		}
		for space, n := range p.quota {
			if quota[space] != n {
				return "pool " + p.name + " counts wrongly for namespace " + t.spaces.names[space]
			}
		}
	}
	return ""
}

func eldest(t *Table, n number) *holding {
	var first *holding
	for id := range t.holders(n) {
		if h := t.holdings.at(id); first == nil || t.elder(h, first) {
			first = h
		}
	}
	return first
}

// misplaced: an address is in exactly one of these places: in use, resting or rested, freed, not yet reached by the cursor.
func misplaced(t *Table, s *segment, n number) string {
	i := n.minus(s.from)
	bit := false
	if w := i >> 6; w < uint64(len(s.freed.levels[0])) {
		bit = s.freed.levels[0][w]>>(i&63)&1 != 0
	}
	rests := s.pool.rest[n.family()].has(n)
	switch {
	case t.inUse(n) && (bit || rests):
		return " is in use and free"
	case bit && rests:
		return " is free twice"
	case i < s.cursor && !t.inUse(n) && !bit && !rests:
		return " is lost"
	case bit && s.pool.first[n.family()] > s.place:
		return " is free where nobody looks"
	}
	return ""
}

// naive is sharing without indexes: may two who asked as they did hold one address?
func naive(a, b *ask) bool {
	if a.reserves || b.reserves {
		if a.reserves && b.reserves || a.Key.Namespace != b.Key.Namespace {
			return false
		}
		if b.reserves {
			a, b = b, a
		}
		return b.Reservation == a.Key.Name || b.Reservation == "" && b.Key.Name == a.taker
	}
	clash := slices.ContainsFunc(a.Ports, func(p spec.Port) bool { return slices.Contains(b.Ports, p) })
	return a.SharingKey != "" && a.SharingKey == b.SharingKey && a.Local == b.Local && !clash
}

// who is a Service or a reservation.
type who struct {
	types.NamespacedName
	reserves bool
}

func addrsIn(v Verdict) (out []netip.Addr) {
	for _, a := range v.Addresses {
		out = append(out, a.Addr)
	}
	return out
}
