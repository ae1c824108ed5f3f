package elect

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// random makes some addresses on some nodes with all that can be said about them, much of it contradictory.
func random(rnd *rand.Rand) (addrs []Address, nodes int) {
	nodes = 1 + rnd.IntN(7)
	slates := make([]*Slate, 1+rnd.IntN(3))
	for i := range slates {
		var cs []Candidate
		for _, c := range candidates(nodes) {
			c.Fit, c.Weight, c.InSubnet = Fitness(rnd.IntN(16)), rnd.IntN(2), rnd.IntN(3) > 0
			if rnd.IntN(2) == 0 {
				c.Fit = well
			}
			if rnd.IntN(6) > 0 {
				cs = append(cs, c)
			}
		}
		slates[i] = NewSlate(cs)
	}
	for i := range rnd.IntN(40) {
		a := Address{Addr: address(i), Slate: slates[rnd.IntN(len(slates))], Failback: Failback(rnd.IntN(3))}
		for range rnd.IntN(4) {
			c := Claim{Node: rnd.IntN(nodes), Epoch: uint64(1 + rnd.IntN(3)), From: rnd.IntN(nodes+1) - 1, Remembered: rnd.IntN(4) == 0, Fresh: rnd.IntN(3) == 0}
			twice := func(o Claim) bool { return o.Node == c.Node && o.Remembered == c.Remembered }
			if !slices.ContainsFunc(a.Claims, twice) {
				a.Claims = append(a.Claims, c)
			}
		}
		addrs = append(addrs, a)
	}
	return addrs, nodes
}

// TestTwin compares with rules written down as they are told, without a thought for speed.
func TestTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		addrs, nodes := random(rnd)
		want := slowly(addrs)
		for i, got := range Elect(nodes, addrs) {
			if w := want[addrs[i].Addr]; got != w {
				t.Fatalf("%+v: %+v, want %+v", addrs[i], got, w)
			}
		}
	}
}

func slowly(addrs []Address) map[netip.Addr]Result {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, func(a, b Address) int { return a.Addr.Compare(b.Addr) })
	results, load := map[netip.Addr]Result{}, map[int]int{}
	for _, a := range addrs {
		r := Result{slowClaim(a), None, None, None}
		if r.Claim != None {
			r.Holder = a.Claims[r.Claim].Node
		}
		results[a.Addr] = r
	}
	later := slowLater(addrs, results)
	for _, r := range addrs {
		if h := results[r.Addr].Holder; h != None && !later[r.Addr] {
			load[h]++
		}
	}
	edit := func(when func(Address, Result) bool, f func(Address, *Result)) {
		for _, a := range addrs {
			if r := results[a.Addr]; when(a, r) {
				f(a, &r)
				results[a.Addr] = r
			}
		}
	}
	edit(func(a Address, r Result) bool { return r.Holder == None || later[a.Addr] }, func(a Address, r *Result) {
		if r.Holder != None {
			load[r.Holder]++
			return
		}
		r.Next = slowTake(firstClass(a, Acquires), a, load)
	})
	edit(slowSettled, func(a Address, r *Result) {
		if first := firstClass(a, a.Failback.need()); len(first) > 0 && better(first[0], on(a, r.Holder)) < 0 {
			r.Next = slowTake(first, a, load)
			load[r.Holder]--
		}
	})
	slowBalance(addrs, results, load)
	edit(func(a Address, r Result) bool { return r.Holder != None && a.Claims[r.Claim].Remembered }, func(a Address, r *Result) {
		first := firstClass(a, Acquires)
		r.StandIn = slowTake(slices.DeleteFunc(first, func(c Candidate) bool { return c.Node == r.Holder }), a, load)
	})
	return results
}

// slowLater finds the addresses that were taken from a node that has lost one which is still free.
func slowLater(addrs []Address, results map[netip.Addr]Result) map[netip.Addr]bool {
	later := map[netip.Addr]bool{}
	for _, free := range addrs {
		if results[free.Addr].Holder != None {
			continue
		}
		for _, lost := range free.Claims {
			for _, a := range addrs {
				for _, c := range a.Claims {
					bit := Keeps
					if c.Remembered {
						bit = Returns
					}
					if results[a.Addr].Holder != None && (c.From == lost.Node || c.Node == lost.Node && on(a, c.Node).Fit&bit == 0) {
						later[a.Addr] = true
					}
				}
			}
		}
	}
	return later
}

func on(a Address, node int) Candidate {
	i := slices.IndexFunc(a.Slate.candidates, func(c Candidate) bool { return c.Node == node })
	if i < 0 {
		return Candidate{Node: None}
	}
	return a.Slate.candidates[i]
}

func slowClaim(a Address) int {
	var standing []int
	for i, c := range a.Claims {
		bit := Keeps
		if c.Remembered {
			bit = Returns
		}
		if on(a, c.Node).Fit&bit != 0 {
			standing = append(standing, i)
		}
	}
	left := slices.DeleteFunc(slices.Clone(standing), func(i int) bool {
		return slices.ContainsFunc(standing, func(j int) bool {
			o, c := a.Claims[j], a.Claims[i]
			return o.From == c.Node && o.Node != c.Node && o.Epoch > c.Epoch
		})
	})
	if len(left) == 0 {
		return None
	}
	return slices.MinFunc(left, func(i, j int) int {
		c, d := a.Claims[i], a.Claims[j]
		x, y := on(a, c.Node), on(a, d.Node)
		switch {
		case c.Remembered != d.Remembered && d.Remembered:
			return -1
		case c.Remembered != d.Remembered:
			return 1
		case c.Fresh != d.Fresh && d.Fresh:
			return -1
		case c.Fresh != d.Fresh:
			return 1
		case better(x, y) != 0:
			return better(x, y)
		case c.Epoch != d.Epoch:
			return int(c.Epoch) - int(d.Epoch)
		case mix(hashAddr(a.Addr)^x.Hash) > mix(hashAddr(a.Addr)^y.Hash):
			return -1
		}
		return 1
	})
}

func slowSettled(a Address, r Result) bool {
	return r.Holder != None && !a.Claims[r.Claim].Remembered && a.Claims[r.Claim].From == None && a.Failback != Never
}

// firstClass is the most preferred of those that are as fit as needed.
func firstClass(a Address, need Fitness) (first []Candidate) {
	for _, c := range a.Slate.candidates {
		switch {
		case c.Fit&need != need:
		case len(first) == 0 || better(c, first[0]) == 0:
			first = append(first, c)
		case better(c, first[0]) < 0:
			first = []Candidate{c}
		}
	}
	return first
}

func slowTake(among []Candidate, a Address, load map[int]int) int {
	if len(among) == 0 {
		return None
	}
	sum := 1
	for _, c := range among {
		sum += load[c.Node]
	}
	return slowBelow(share(sum, len(among)), among, a, load)
}

func slowBelow(limit int, among []Candidate, a Address, load map[int]int) int {
	below := slices.DeleteFunc(slices.Clone(among), func(c Candidate) bool { return load[c.Node] >= limit })
	if len(below) == 0 {
		return None
	}
	best := slices.MaxFunc(below, func(c, d Candidate) int {
		if mix(hashAddr(a.Addr)^c.Hash) > mix(hashAddr(a.Addr)^d.Hash) {
			return 1
		}
		return -1
	})
	load[best.Node]++
	return best.Node
}

func slowBalance(addrs []Address, results map[netip.Addr]Result, load map[int]int) {
	for _, a := range addrs {
		r := results[a.Addr]
		if r.Next != None || r.Holder != None && (a.Claims[r.Claim].Remembered || a.Claims[r.Claim].From != None) {
			return
		}
	}
	equals := func(a Address, need Fitness) (same []Candidate) {
		for _, c := range a.Slate.candidates {
			if c.Fit != 0 && c.Fit&need == need && better(c, on(a, results[a.Addr].Holder)) == 0 {
				same = append(same, c)
			}
		}
		return same
	}
	type item struct {
		Address
		limit, most int
	}
	var over []item
	for _, a := range addrs {
		r := results[a.Addr]
		if !slowSettled(a, r) || r.Next != None {
			continue
		}
		sum, same := 0, slices.DeleteFunc(equals(a, 0), func(c Candidate) bool { return c.Fit&Steady == 0 && load[c.Node] == 0 })
		for _, c := range same {
			sum += load[c.Node]
		}
		if len(same) > 1 && load[r.Holder] > burden(sum, len(same)) {
			over = append(over, item{a, burden(sum, len(same)), share(sum, len(same))})
		}
	}
	slices.SortStableFunc(over, func(x, y item) int {
		if mix(hashAddr(x.Addr)^on(x.Address, results[x.Addr].Holder).Hash) < mix(hashAddr(y.Addr)^on(y.Address, results[y.Addr].Holder).Hash) {
			return -1
		}
		return 1
	})
	for _, x := range over {
		r := results[x.Addr]
		if load[r.Holder] <= x.limit {
			continue
		}
		others := slices.DeleteFunc(equals(x.Address, x.Failback.need()), func(c Candidate) bool { return c.Node == r.Holder })
		if to := slowBelow(x.most, others, x.Address, load); to != None {
			r.Next = to
			load[r.Holder]--
			results[x.Addr] = r
		}
	}
}
