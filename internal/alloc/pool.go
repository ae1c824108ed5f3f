package alloc

import (
	"cmp"
	"math"
	"reflect"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// pool is a pool that exists, or one that is gone while a Service still holds an address of it.
type pool struct {
	id       uint32
	name     string
	live     bool // it exists
	auto     bool
	segments [2][]*segment // by family, ascending
	first    [2]int        // no segment before this one has a free address
	total    [2]int64      // addresses, clamped
	assigned [2]int64      // addresses of its ranges in use
	outside  int64         // addresses in use that came from it and lie in no pool's ranges now
}

// Usage is how much of a pool is in use, in addresses (a shared one counts once). Counts end at math.MaxInt64.
type Usage struct {
	AssignedIPv4, AssignedIPv6   int64 // held, within the pool's present ranges
	AvailableIPv4, AvailableIPv6 int64 // free
	Outside                      int64 // held and marked with the pool's name, but in no pool's ranges now
}

// Usage counts the addresses of the pool. A pool that is not known has none.
func (t *Table) Usage(name string) Usage {
	p := t.pools[name]
	if p == nil {
		return Usage{}
	}
	return Usage{
		AssignedIPv4: p.assigned[0], AssignedIPv6: p.assigned[1],
		AvailableIPv4: p.available(0), AvailableIPv6: p.available(1),
		Outside: p.outside,
	}
}

func (p *pool) available(f int) int64 {
	if p.total[f] == math.MaxInt64 {
		return math.MaxInt64
	}
	return p.total[f] - p.assigned[f]
}

// SetPools tells the table which pools there are. Nobody loses an address by it: holders of addresses that lie in no pool
// any more keep them, marked with the old pool's name, and a pool that covers them now adopts them. Afterwards Verdict
// tells the new truth for those who hold all they want; those in Pending must claim again, all in one ClaimAll.
//
// Where pools overlap, which spec.Parse does not let through, the older one has the addresses.
func (t *Table) SetPools(pools []spec.Pool) {
	if reflect.DeepEqual(pools, t.given) {
		return
	}
	t.given = slices.Clone(pools)
	t.replaceSegments(disjoint(pools))
	t.reattach()
	t.forgetPools()
}

// disjoint returns the pools, the elder first, each without what an elder one has.
func disjoint(pools []spec.Pool) []spec.Pool {
	pools = slices.Clone(pools)
	slices.SortFunc(pools, func(a, b spec.Pool) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) })
	var all []spec.Range
	for _, p := range pools {
		all = append(all, p.Ranges...)
	}
	slices.SortFunc(all, func(a, b spec.Range) int { return a.From.Compare(b.From) })
	for i := range len(all) - 1 {
		if all[i].Overlaps(all[i+1]) {
			return withoutOverlaps(pools)
		}
	}
	return pools
}

func withoutOverlaps(pools []spec.Pool) []spec.Pool {
	var taken []spec.Range
	for i := range pools {
		pools[i].Ranges = spec.Subtract(pools[i].Ranges, taken)
		taken = append(taken, pools[i].Ranges...)
	}
	return pools
}

// replaceSegments keeps the state of runs of addresses that stay as they were, in whichever pool.
func (t *Table) replaceSegments(pools []spec.Pool) {
	type run struct{ from, to number }
	known := make(map[run]*segment, len(t.segments))
	for _, s := range t.segments {
		known[run{s.from, s.to}] = s
	}
	t.segments = nil
	for _, p := range t.pools {
		*p = pool{id: p.id, name: p.name}
	}
	t.order = nil
	for i := range pools {
		p := t.poolNamed(pools[i].Name)
		if !p.live && pools[i].AutoAssign {
			t.order = append(t.order, p)
		}
		p.live, p.auto = true, pools[i].AutoAssign
		for _, r := range pools[i].Ranges {
			from, to := numberOf(r.From), numberOf(r.To)
			s := known[run{from, to}]
			if s == nil {
				s = &segment{from: from, to: to}
			}
			f := from.family()
			s.pool, s.place = p, len(p.segments[f])
			t.segments = append(t.segments, s)
			p.segments[f] = append(p.segments[f], s)
			p.total[f] = addClamped(p.total[f], r.Size())
		}
	}
	slices.SortFunc(t.segments, func(a, b *segment) int { return a.from.compare(b.from) })
	slices.SortFunc(t.order, func(a, b *pool) int { return cmp.Compare(a.name, b.name) })
}

func addClamped(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// reattach finds for every address in use the pool that it belongs to now.
func (t *Table) reattach() {
	for id, h := range t.holdings.all() {
		if s := t.segmentOf(h.number); s != nil {
			h.setPool(s.pool.id)
		}
		if t.isFirst(id, h) {
			t.count(h, 1)
		}
	}
}

// forgetPools drops those that are gone and have no holder left.
func (t *Table) forgetPools() {
	inUse := map[uint32]bool{}
	for _, h := range t.holdings.all() {
		inUse[h.pool()] = true
	}
	for name, p := range t.pools {
		if !p.live && !inUse[p.id] {
			delete(t.pools, name)
			delete(t.byID, p.id)
		}
	}
}

// poolNamed returns the pool of this name, and makes a note of one that does not exist.
func (t *Table) poolNamed(name string) *pool {
	p := t.pools[name]
	if p == nil {
		t.lastPool++
		p = &pool{id: t.lastPool, name: name}
		t.pools[name], t.byID[p.id] = p, p
	}
	return p
}

// segmentOf returns the run of addresses that n is in, nil when no pool has it.
func (t *Table) segmentOf(n number) *segment {
	i, found := slices.BinarySearchFunc(t.segments, n, func(s *segment, n number) int { return s.from.compare(n) })
	if found {
		return t.segments[i]
	}
	if i > 0 && t.segments[i-1].contains(n) {
		return t.segments[i-1]
	}
	return nil
}

// free returns the pool's lowest free address of a family.
func (t *Table) free(p *pool, f int) (number, bool) {
	for ; p.first[f] < len(p.segments[f]); p.first[f]++ {
		if n, ok := p.segments[f][p.first[f]].free(t.inUse); ok {
			return n, true
		}
	}
	return number{}, false
}

// count notes in the pool's figures that an address got its first holder (by is 1) or lost its last (-1).
func (t *Table) count(h *holding, by int64) {
	p := t.byID[h.pool()]
	if t.segmentOf(h.number) == nil {
		p.outside += by
		return
	}
	p.assigned[h.family()] += by
}
