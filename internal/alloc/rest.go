package alloc

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Freed is an address that rests, or has rested and was not used since.
type Freed struct {
	Addr netip.Addr
	At   time.Time // when its last holder let go of it, to the second
}

// keepFreed is how many freed addresses of a pool are handed out to be remembered.
const keepFreed = 256

// rest is the freed addresses of one family of a pool with a cooldown, the longest free first. An entry of the queue whose
// serial number the index does not confirm is void: its address is in use again.
type rest struct {
	queue   []freed
	index   map[number]uint64
	ripe    int    // entries before this one have rested
	ripened uint64 // the highest serial number that has
	serial  uint64
	resting int64
}

type freed struct {
	number
	serial uint64
	at     int64 // seconds since 1970
}

func (r *rest) add(n number, at int64) {
	if r.index == nil {
		r.index = map[number]uint64{}
	}
	if len(r.queue) > 0 { // the clock may have been put back
		at = max(at, r.queue[len(r.queue)-1].at)
	}
	r.serial++
	r.index[n] = r.serial
	r.queue = append(r.queue, freed{n, r.serial, at})
	r.resting++
	if len(r.queue) > 2*len(r.index)+64 {
		r.tidy()
	}
}

func (r *rest) valid(f freed) bool { return r.index[f.number] == f.serial }

func (r *rest) has(n number) bool {
	_, ok := r.index[n]
	return ok
}

// tidy drops void entries.
func (r *rest) tidy() {
	var left []freed
	ripe := 0
	for i, f := range r.queue {
		if r.valid(f) {
			left = append(left, f)
			if i < r.ripe {
				ripe++
			}
		}
	}
	r.queue, r.ripe = left, ripe
}

// take notes that the address is in use.
func (r *rest) take(n number) {
	if serial, ok := r.index[n]; ok {
		delete(r.index, n)
		if serial > r.ripened {
			r.resting--
		}
	}
}

// ripen lets those have rested that were freed at this time or before.
func (r *rest) ripen(until int64) {
	for ; r.ripe < len(r.queue) && r.queue[r.ripe].at <= until; r.ripe++ {
		if r.valid(r.queue[r.ripe]) {
			r.resting--
		}
		r.ripened = r.queue[r.ripe].serial
	}
}

// longest returns the address that has been free for longest, of those that have rested.
func (r *rest) longest() (number, bool) {
	for r.ripe > 0 && !r.valid(r.queue[0]) {
		r.queue, r.ripe = r.queue[1:], r.ripe-1
	}
	if r.ripe == 0 {
		return number{}, false
	}
	return r.queue[0].number, true
}

// next returns when the longest-free of those that still rest was freed.
func (r *rest) next() (int64, bool) {
	for _, f := range r.queue[r.ripe:] {
		if r.valid(f) {
			return f.at, true
		}
	}
	return 0, false
}

// latest returns the n that were freed last, or all if there are fewer.
func (r *rest) latest(n int) (out []Freed) {
	for i := len(r.queue) - 1; i >= 0 && len(out) < n; i-- {
		if x := r.queue[i]; r.valid(x) {
			out = append(out, Freed{x.addr(), time.Unix(x.at, 0).UTC()})
		}
	}
	return out
}

// SetTime tells the table what time it is. Pools with a cooldown need it: before all else that happens at that time.
func (t *Table) SetTime(now time.Time) {
	t.now = now
	for _, p := range t.pools {
		p.ripen(now)
	}
}

func (p *pool) ripen(now time.Time) {
	for f := range p.rest {
		p.rest[f].ripen(now.Add(-p.rules.ReuseCooldown).Unix())
	}
}

// Wake returns when the next address will have rested: then Pending should claim again.
func (t *Table) Wake() (time.Time, bool) {
	var first time.Time
	for _, p := range t.pools {
		for f := range p.rest {
			if at, ok := p.rests(f); ok && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first, !first.IsZero()
}

// rests returns until when the longest-free of the pool's resting addresses of a family rests.
func (p *pool) rests(f int) (time.Time, bool) {
	at, ok := p.rest[f].next()
	return time.Unix(at, 0).UTC().Add(p.rules.ReuseCooldown), ok
}

// Freed returns the 256 addresses of the pool that were freed last, the latest last: to be remembered where a restart
// does not reach. A pool without cooldown has none.
func (t *Table) Freed(pool string) []Freed {
	var all []Freed
	if p := t.pools[pool]; p != nil {
		for f := range p.rest {
			all = append(all, p.rest[f].latest(keepFreed)...)
		}
	}
	slices.SortFunc(all, func(a, b Freed) int { return cmp.Or(a.At.Compare(b.At), a.Addr.Compare(b.Addr)) })
	return all[max(0, len(all)-keepFreed):]
}

// Recall takes in what Freed returned before a restart. It is to be called after SetTime and SetPools, before the first
// claim.
func (t *Table) Recall(pool string, history []Freed) {
	p := t.pools[pool]
	if p == nil || p.rules.ReuseCooldown == 0 {
		return
	}
	history = slices.Clone(history)
	slices.SortFunc(history, func(a, b Freed) int { return cmp.Or(a.At.Compare(b.At), a.Addr.Compare(b.Addr)) })
	for _, x := range history {
		if n := numberOf(x.Addr); t.poolOffering(n) == p && !t.inUse(n) && !p.rest[n.family()].has(n) {
			p.rest[n.family()].add(n, x.At.Unix())
		}
	}
	p.ripen(t.now)
}

// poolOffering returns the pool that hands out the address, nil for none.
func (t *Table) poolOffering(n number) *pool {
	if s := t.segmentOf(n); s != nil && s.offers(n) {
		return s.pool
	}
	return nil
}

// rerest sorts the pool's freed addresses anew when its rules or ranges have changed; without a cooldown they are simply
// free.
func (t *Table) rerest(p *pool) {
	for f := range p.rest {
		old := p.rest[f]
		p.rest[f] = rest{}
		for _, x := range old.queue {
			switch {
			case !old.valid(x) || t.poolOffering(x.number) != p:
			case p.rules.ReuseCooldown > 0:
				p.rest[f].add(x.number, x.at)
			default:
				t.segmentOf(x.number).give(x.number)
			}
		}
	}
	p.ripen(t.now)
}
