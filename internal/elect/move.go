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

// balance relieves the nodes that have more than they should keep of the addresses that suit them least. It waits until
// nothing else is on its way: who hears of half a drain sees nodes with too much.
func (b *ballot) balance() {
	if b.moving() {
		return
	}
	type class struct {
		slate *Slate
		rank  int
	}
	totals := map[class]total{}
	var due []int
	of := map[int]total{} // by address
	for i := range b.addrs {
		if len(b.addrs[i].Slate.candidates) < 2 || !b.settled(i) || b.results[i].Next != None {
			continue // nobody to relieve the holder, or no need to
		}
		key := class{b.addrs[i].Slate, b.rank(i)}
		t, ok := totals[key]
		if !ok {
			t = b.total(key.slate, key.rank)
			totals[key] = t
		}
		if t.n > 1 && b.loads[b.results[i].Holder] > burden(t.sum, t.n) {
			due, of[i] = append(due, i), t
		}
	}
	slices.SortFunc(due, b.misfit)
	for _, i := range due {
		b.relieve(i, of[i])
	}
}

// moving tells whether an address is on its way to somebody, or waits for a node that is away.
func (b *ballot) moving() bool {
	for i, r := range b.results {
		if r.Next != None {
			return true
		}
		if r.Claim != None && (b.addrs[i].Claims[r.Claim].Remembered || b.addrs[i].Claims[r.Claim].From != None) {
			return true
		}
	}
	return false
}

// total is what some nodes have together.
type total struct{ sum, n int }

// total counts the nodes of one rank that have addresses, be they only away, or not ready, for now, and those that could
// have some.
func (b *ballot) total(s *Slate, rank int) (t total) {
	for k, c := range s.candidates {
		if s.ranks[k] == rank && c.Fit != 0 && (c.Fit&Steady != 0 || b.loads[c.Node] > 0) {
			t.sum, t.n = t.sum+b.loads[c.Node], t.n+1
		}
	}
	return t
}

// misfit orders addresses by how little they suit their holders.
func (b *ballot) misfit(i, j int) int {
	score := func(i int) uint64 {
		place, _ := b.addrs[i].Slate.find(b.results[i].Holder)
		return b.addrs[i].score(place)
	}
	return cmp.Or(cmp.Compare(score(i), score(j)), byAddr(b.addrs)(i, j))
}

// relieve moves an address, if its holder still has too many, to a node of the same preference that has less than its share.
func (b *ballot) relieve(i int, t total) {
	holder := b.results[i].Holder
	if b.loads[holder] <= burden(t.sum, t.n) {
		return
	}
	need := b.addrs[i].Failback.need()
	if to := b.below(share(t.sum, t.n), i, b.rank(i), need, holder); to != None {
		b.results[i].Next = to
		b.loads[holder]--
	}
}
