package elect

import (
	"net/netip"
	"slices"
)

// Failback says when an address may leave a node that is well for one that suits it better.
type Failback uint8

// The policies.
const (
	Delayed   Failback = iota // when the better node has been fit for some time
	Never                     // not at all
	Immediate                 // as soon as the better node is fit
)

// need is the fitness of a node that takes an address from another.
func (f Failback) need() Fitness {
	if f == Immediate {
		return Acquires
	}
	return Acquires | Steady
}

// Address is one thing to be decided.
type Address struct {
	Addr     netip.Addr
	Slate    *Slate
	Claims   []Claim
	Failback Failback
}

// Result is who has an address, and who is to have it.
type Result struct {
	Claim   int // place of the claim that decides, None if none stands
	Holder  int // its node
	Next    int // who is to claim the address: at once if there is no holder, else in a planned move
	StandIn int // who answers for a holder that is away
}

// Elect decides for all addresses together, because how many a node has already counts. They may come in any order, each
// once; nodes is the number of nodes.
func Elect(nodes int, addrs []Address) []Result {
	b := &ballot{addrs: addrs, results: make([]Result, len(addrs)), loads: make([]int, nodes)}
	free, away := b.count()
	for _, i := range free {
		b.results[i].Next = b.take(i, addrs[i].Slate.acquires, Acquires, None)
	}
	b.failback()
	b.balance()
	for _, i := range away {
		b.results[i].StandIn = b.take(i, addrs[i].Slate.acquires, Acquires, b.results[i].Holder)
	}
	return b.results
}

// ballot is the state of one Elect.
type ballot struct {
	addrs   []Address
	results []Result
	loads   []int // addresses of each node, those that are coming included
}

// count finds the claims that decide, and the addresses without one and of nodes that are away, in order.
func (b *ballot) count() (free, away []int) {
	for i, a := range b.addrs {
		r := Result{Claim: a.claim(), Holder: None, Next: None, StandIn: None}
		if r.Claim == None {
			free = append(free, i)
		} else {
			c := a.Claims[r.Claim]
			r.Holder = c.Node
			b.loads[c.Node]++
			if c.Remembered {
				away = append(away, i)
			}
		}
		b.results[i] = r
	}
	slices.SortFunc(free, byAddr(b.addrs))
	slices.SortFunc(away, byAddr(b.addrs))
	return free, away
}

// take finds the node of one rank that is to have the address, and counts it there: the highest score among those that
// have not more than their share.
func (b *ballot) take(i, rank int, need Fitness, but int) int {
	s := b.addrs[i].Slate
	sum, n := b.sum(s, rank, need, but)
	if n == 0 {
		return None
	}
	limit, hash := share(sum+1, n), hashAddr(b.addrs[i].Addr)
	best, bestScore := None, uint64(0)
	for k, c := range s.candidates {
		if s.ranks[k] != rank || c.Fit&need != need || c.Node == but || b.loads[c.Node] >= limit {
			continue
		}
		if score := mix(hash ^ c.Hash); best == None || score > bestScore {
			best, bestScore = c.Node, score
		}
	}
	b.loads[best]++
	return best
}

// sum counts the nodes of one rank that may take an address, and what they have.
func (b *ballot) sum(s *Slate, rank int, need Fitness, but int) (sum, n int) {
	for k, c := range s.candidates {
		if s.ranks[k] == rank && c.Fit&need == need && c.Node != but {
			sum, n = sum+b.loads[c.Node], n+1
		}
	}
	return sum, n
}

// share is the most that one of n nodes takes of so many addresses: 1.2 times the mean, and always enough for all.
func share(addresses, n int) int { return max(addresses*6/(n*5), (addresses+n-1)/n) }

// burden is the most that one of n nodes keeps of so many addresses: 1.3 times the mean, and one more than an even share.
// It is more than the share, so that what was taken is not given away again when a node comes or goes.
func burden(addresses, n int) int { return max(addresses*13/(n*10), (addresses+n-1)/n+1) }
