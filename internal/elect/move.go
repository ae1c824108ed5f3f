package elect

import (
	"cmp"
	"slices"
)

// failback has addresses moved to nodes of better preference than their holder's.
func (b *ballot) failback() {
	var due []int
	for i := range b.addrs {
		if a := &b.addrs[i]; b.settled(i) && a.Slate.best(a.Failback.need()) < b.rank(i) {
			due = append(due, i)
		}
	}
	slices.SortFunc(due, byAddr(b.addrs))
	for _, i := range due {
		s, need := b.addrs[i].Slate, b.addrs[i].Failback.need()
		b.results[i].Next = b.take(i, s.best(need), need, None)
		b.loads[b.results[i].Holder]--
	}
}

// settled tells that an address has a holder that is there, has it for good, and may be relieved of it.
func (b *ballot) settled(i int) bool {
	a, r := &b.addrs[i], &b.results[i]
	if r.Claim == None || a.Failback == Never {
		return false
	}
	c := a.Claims[r.Claim]
	return !c.Remembered && c.From == None
}

// rank of the holder's preference.
func (b *ballot) rank(i int) int {
	s := b.addrs[i].Slate
	place, _ := s.find(b.results[i].Holder)
	return s.ranks[place]
}

// balance relieves the nodes that have more than they should keep of the addresses that suit them least.
func (b *ballot) balance() {
	type class struct {
		slate *Slate
		rank  int
	}
	type total struct{ sum, n int }
	totals := map[class]total{}
	var due []int
	limits := map[int]int{} // by address
	for i := range b.addrs {
		if !b.settled(i) || b.results[i].Next != None {
			continue
		}
		key := class{b.addrs[i].Slate, b.rank(i)}
		t, ok := totals[key]
		if !ok {
			t.sum, t.n = b.sum(key.slate, key.rank, Acquires, None)
			totals[key] = t
		}
		if t.n > 1 && b.loads[b.results[i].Holder] > burden(t.sum, t.n) {
			due, limits[i] = append(due, i), burden(t.sum, t.n)
		}
	}
	slices.SortFunc(due, b.misfit)
	for _, i := range due {
		if holder := b.results[i].Holder; b.loads[holder] > limits[i] {
			b.relieve(i, holder)
		}
	}
}

// misfit orders addresses by how little they suit their holders.
func (b *ballot) misfit(i, j int) int {
	score := func(i int) uint64 {
		place, _ := b.addrs[i].Slate.find(b.results[i].Holder)
		return b.addrs[i].score(place)
	}
	return cmp.Or(cmp.Compare(score(i), score(j)), byAddr(b.addrs)(i, j))
}

// relieve moves an address to a node of the same preference that has at least two addresses less.
func (b *ballot) relieve(i, holder int) {
	a := &b.addrs[i]
	to := b.take(i, b.rank(i), a.Failback.need(), holder)
	if to == None {
		return
	}
	if b.loads[to] >= b.loads[holder] {
		b.loads[to]--
		return
	}
	b.results[i].Next = to
	b.loads[holder]--
}
