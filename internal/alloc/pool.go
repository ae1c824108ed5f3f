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
	rules    spec.Pool
	segments [2][]*segment  // what it hands out, by family, ascending
	first    [2]int         // no segment before this one has a free address
	total    [2]int64       // addresses that it hands out, clamped
	taken    [2]int64       // those of them in use
	assigned [2]int64       // addresses of its ranges in use
	outside  int64          // addresses in use that came from it and lie in no pool's ranges now
	rest     [2]rest        // freed addresses, while it has a cooldown
	quota    map[uint32]int // addresses by namespace, while it has a quota
}

// Usage is how much of a pool is in use, in addresses (a shared one counts once). Counts end at math.MaxInt64.
type Usage struct {
	AssignedIPv4, AssignedIPv6   int64 // held or reserved, within the pool's present ranges
	AvailableIPv4, AvailableIPv6 int64 // free, and not resting
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
	return p.total[f] - p.taken[f] - p.rest[f].resting
}

// Forbidden is addresses that are never handed out, whatever pool they are in: they have another use in the cluster.
type Forbidden struct {
	spec.Range
	What string // as in "the Service CIDR", "an address of node n1"
}

// Forbids returns those that overlap the ranges.
func Forbids(forbidden []Forbidden, ranges []spec.Range) []Forbidden {
	var out []Forbidden
	for _, f := range forbidden {
		if slices.ContainsFunc(ranges, f.Overlaps) {
			out = append(out, f)
		}
	}
	return out
}

// SetPools tells the table which pools there are. Nobody loses an address by it: holders of addresses that lie in no pool
// any more keep them, marked with the old pool's name, and a pool that covers them now adopts them. Afterwards Verdict
// tells the new truth for those who hold all they want; those in Pending must claim again, all in one ClaimAll.
//
// Where pools overlap, which spec.Parse does not let through, the older one has the addresses.
func (t *Table) SetPools(pools []spec.Pool) {
	if !reflect.DeepEqual(pools, t.given) {
		t.given = slices.Clone(pools)
		t.rebuild()
	}
}

// SetUnusable tells the table which pools exist though they are not among those of SetPools, for what it says about them.
func (t *Table) SetUnusable(names []string) { t.unusable = slices.Clone(names) }

// SetForbidden tells the table which addresses are never to be handed out. Who holds one keeps it.
func (t *Table) SetForbidden(forbidden []Forbidden) {
	if !slices.Equal(forbidden, t.forbidden) {
		t.forbidden = slices.Clone(forbidden)
		t.rebuild()
	}
}

func (t *Table) rebuild() {
	t.replaceSegments(disjoint(t.given))
	t.reattach()
	for _, p := range t.pools {
		t.rerest(p)
	}
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
	known := make(map[run]*segment, len(t.segments))
	for _, s := range t.segments {
		known[s.run] = s
	}
	t.segments, t.order = nil, nil
	for _, p := range t.pools {
		*p = pool{id: p.id, name: p.name, rest: p.rest}
	}
	for i := range pools {
		p := t.poolNamed(pools[i].Name)
		if !p.live && pools[i].AutoAssign && !pools[i].Disabled {
			t.order = append(t.order, p)
		}
		p.live, p.rules = true, pools[i]
		if p.rules.MaxPerNamespace > 0 {
			p.quota = map[uint32]int{}
		}
		for _, r := range t.runs(&pools[i]) {
			s := known[r]
			if s == nil {
				s = &segment{run: r}
			}
			t.attach(p, s)
		}
	}
	slices.SortFunc(t.segments, func(a, b *segment) int { return a.from.compare(b.from) })
	slices.SortFunc(t.order, func(a, b *pool) int {
		return cmp.Or(cmp.Compare(a.priority(), b.priority()), cmp.Compare(a.name, b.name))
	})
}

func (t *Table) attach(p *pool, s *segment) {
	s.pool = p
	t.segments = append(t.segments, s)
	if f := s.from.family(); s.usable {
		s.place = len(p.segments[f])
		p.segments[f] = append(p.segments[f], s)
		p.total[f] = addClamped(p.total[f], s.count())
	}
}

// priority puts pools without one behind the others.
func (p *pool) priority() int {
	if p.rules.Priority == 0 {
		return math.MaxInt
	}
	return p.rules.Priority
}

// runs cuts the pool's ranges into what it hands out and what it does not.
func (t *Table) runs(p *spec.Pool) []run {
	var out []run
	for _, r := range p.Ranges {
		cut := slices.Clone(p.Exclude)
		for _, f := range Forbids(t.forbidden, []spec.Range{r}) {
			cut = append(cut, f.Range)
		}
		usable := spec.Subtract([]spec.Range{r}, cut)
		for _, u := range usable {
			out = append(out, run{numberOf(u.From), numberOf(u.To), true, p.AvoidBuggyIPs})
		}
		for _, u := range spec.Subtract([]spec.Range{r}, usable) {
			out = append(out, run{from: numberOf(u.From), to: numberOf(u.To)})
		}
	}
	return out
}

func addClamped(a int64, b uint64) int64 {
	if b > uint64(math.MaxInt64-a) {
		return math.MaxInt64
	}
	return a + int64(b)
}

// reattach finds for every address in use the pool that it belongs to now.
func (t *Table) reattach() {
	for id, h := range t.holdings.all() {
		h.setCounted(false)
		if s := t.segmentOf(h.number); s != nil {
			h.setPool(s.pool.id)
		}
		if t.isFirst(id, h) {
			t.count(h, 1)
		}
	}
	for id, h := range t.holdings.all() {
		if t.isFirst(id, h) {
			t.recount(h.number)
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

// free returns the pool's lowest free address of a family, and if it has a cooldown and none was never used, the one that
// has been free for longest.
func (t *Table) free(p *pool, f int) (number, bool) {
	for ; p.first[f] < len(p.segments[f]); p.first[f]++ {
		if n, ok := p.segments[f][p.first[f]].free(t.blocked); ok {
			return n, true
		}
	}
	return p.rest[f].longest()
}

// blocked tells whether an address that was not given out in its turn is not to be.
func (t *Table) blocked(n number) bool {
	return t.inUse(n) || t.segmentOf(n).pool.rest[n.family()].has(n)
}

// count notes in the pool's figures that an address got its first holder (by is 1) or lost its last (-1).
func (t *Table) count(h *holding, by int64) {
	p, s, f := t.byID[h.pool()], t.segmentOf(h.number), h.family()
	if s == nil {
		p.outside += by
		return
	}
	p.assigned[f] += by
	if s.offers(h.number) {
		p.taken[f] += by
	}
}

// recount settles for which namespace an address counts: that of its eldest holder.
func (t *Table) recount(n number) {
	s := t.segmentOf(n)
	if s == nil || s.pool.quota == nil {
		return
	}
	var eldest *holding
	for id := range t.holders(n) {
		h := t.holdings.at(id)
		if h.counted() {
			h.setCounted(false)
			s.pool.quota[t.claims.at(h.claim).space()]--
		}
		if eldest == nil || t.elder(h, eldest) {
			eldest = h
		}
	}
	if eldest != nil {
		eldest.setCounted(true)
		s.pool.quota[t.claims.at(eldest.claim).space()]++
	}
}

// elder tells whether a comes before b of the holders of one address: those who leave come last.
func (t *Table) elder(a, b *holding) bool {
	if a.leaving() != b.leaving() {
		return b.leaving()
	}
	return t.age(a.claim).compare(t.age(b.claim)) < 0
}
