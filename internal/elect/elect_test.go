package elect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestScoreGolden(t *testing.T) {
	// Two versions of the speaker must agree: these numbers, computed by another program, may never change.
	for _, tc := range []struct {
		addr, node string
		want       uint64
	}{
		{"192.0.2.1", "n1", 0x91637c5a445d71c9},
		{"192.0.2.1", "n2", 0x288fb5f19c485ab7},
		{"192.0.2.2", "n1", 0xc37b7f18a069e2a6},
		{"2001:db8::1", "n1", 0xd35eeffcbbec2cb6},
		{"2001:db8::1", "a-rather-long-node-name.example.com", 0x93c10080c197ff42},
	} {
		if got := Score(netip.MustParseAddr(tc.addr), tc.node); got != tc.want {
			t.Errorf("Score(%s, %s) = %#x, want %#x", tc.addr, tc.node, got, tc.want)
		}
	}
}

// TestElectGolden: nor may who is elected for the first time, with the share of each node counted.
func TestElectGolden(t *testing.T) {
	got := ""
	for _, r := range Elect(4, free(4, 24)) {
		got += fmt.Sprint(r.Next)
	}
	if want := "321023100132320110322100"; got != want {
		t.Errorf("elected %s, want %s", got, want)
	}
}

const well = Keeps | Acquires | Steady

// candidates are n nodes that are well.
func candidates(n int) []Candidate {
	cs := make([]Candidate, n)
	for i := range cs {
		cs[i] = Candidate{Node: i, Hash: Hash(fmt.Sprintf("n%d", i+1)), Fit: well}
	}
	return cs
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// free are addresses that nobody has.
func free(nodes, addrs int) []Address {
	s := NewSlate(candidates(nodes))
	out := make([]Address, addrs)
	for i := range out {
		out[i] = Address{Addr: address(i), Slate: s}
	}
	return out
}

// settle lets all who are to claim do so.
func settle(addrs []Address, rs []Result) {
	for i, r := range rs {
		if r.Next != None {
			addrs[i].Claims = []Claim{{Node: r.Next, Epoch: 1, From: None}}
		}
	}
}

func holders(nodes int, addrs []Address) []int {
	count := make([]int, nodes)
	for _, r := range Elect(nodes, addrs) {
		count[r.Holder]++
	}
	return count
}

func with(addrs []Address, s *Slate) []Address {
	for i := range addrs {
		addrs[i].Slate = s
	}
	return addrs
}

func TestOneAddress(t *testing.T) {
	addr := address(1)
	byScore := Elect(3, free(3, 2))[1].Next
	lowest, other := (byScore+1)%3, (byScore+2)%3
	fit := func(node int, f Fitness) func([]Candidate) { return func(cs []Candidate) { cs[node].Fit = f } }
	weigh := func(node, w int) func([]Candidate) { return func(cs []Candidate) { cs[node].Weight = w } }
	claims := func(cs ...Claim) []Claim { return cs }
	own := func(node int, epoch uint64) Claim { return Claim{Node: node, Epoch: epoch, From: None} }
	from := func(c Claim, node int) Claim { c.From = node; return c }
	remembered := func(c Claim) Claim { c.Remembered = true; return c }
	for _, tc := range []struct {
		name                  string
		edit                  []func([]Candidate)
		claims                []Claim
		failback              Failback
		holder, next, standIn int
	}{
		{"nobody has it", nil, nil, Delayed, None, byScore, None},
		{"nobody may have it", []func([]Candidate){fit(0, Keeps), fit(1, Keeps), fit(2, Returns)}, nil, Delayed, None, None, None},
		{"one has it, whatever its score", nil, claims(own(lowest, 7)), Delayed, lowest, None, None},
		{"who has it need not be able to acquire it", []func([]Candidate){fit(lowest, Keeps)}, claims(own(lowest, 7)), Delayed, lowest, None, None},
		{"a claim of a node that is away does not stand", []func([]Candidate){fit(lowest, Returns)}, claims(own(lowest, 7)), Delayed, None, byScore, None},
		{"what is remembered of it does", []func([]Candidate){fit(lowest, Returns)}, claims(remembered(own(lowest, 7))), Delayed, lowest, None, byScore},
		{"what is remembered of a live node does not", nil, claims(remembered(own(lowest, 7))), Delayed, None, byScore, None},
		{"a live claim beats a remembered one", []func([]Candidate){fit(lowest, Returns)}, claims(remembered(own(lowest, 7)), own(other, 8)), Delayed, other, None, None},
		{"the lower epoch of two", nil, claims(own(lowest, 8), own(other, 7)), Delayed, other, None, None},
		{"the better preference of two", []func([]Candidate){weigh(lowest, 1)}, claims(own(lowest, 8), own(other, 7)), Delayed, lowest, None, None},
		{"the higher score of two", nil, claims(own(lowest, 7), own(byScore, 7)), Delayed, byScore, None, None},
		{"a planned move beats what it replaces", nil, claims(own(other, 7), from(own(lowest, 8), other)), Delayed, lowest, None, None},
		{"but not somebody else's", nil, claims(own(byScore, 7), from(own(lowest, 8), other)), Delayed, byScore, None, None},
		{"nor what is newer than it", []func([]Candidate){weigh(other, 1)}, claims(own(other, 9), from(own(lowest, 8), other)), Never, other, None, None},
		{"nor when its node is gone", []func([]Candidate){fit(lowest, 0)}, claims(own(other, 7), from(own(lowest, 8), other)), Delayed, other, None, None},
		{"a better node takes it back", []func([]Candidate){weigh(other, 1)}, claims(own(lowest, 7)), Delayed, lowest, other, None},
		{"not before it is steady", []func([]Candidate){weigh(other, 1), fit(other, Keeps|Acquires)}, claims(own(lowest, 7)), Delayed, lowest, None, None},
		{"at once", []func([]Candidate){weigh(other, 1), fit(other, Keeps|Acquires)}, claims(own(lowest, 7)), Immediate, lowest, other, None},
		{"never", []func([]Candidate){weigh(other, 1)}, claims(own(lowest, 7)), Never, lowest, None, None},
		{"a subnet is a preference", []func([]Candidate){func(cs []Candidate) { cs[other].InSubnet = true }}, claims(own(lowest, 7)), Delayed, lowest, other, None},
		{"and the least", []func([]Candidate){func(cs []Candidate) { cs[other].InSubnet = true }, weigh(lowest, 1)}, nil, Delayed, None, lowest, None},
		{"no move while one is under way", []func([]Candidate){weigh(other, 1)}, claims(own(byScore, 7), from(own(lowest, 8), byScore)), Delayed, lowest, None, None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cs := candidates(3)
			for _, e := range tc.edit {
				e(cs)
			}
			got := Elect(3, []Address{{Addr: addr, Slate: NewSlate(cs), Claims: tc.claims, Failback: tc.failback}})[0]
			if got.Holder != tc.holder || got.Next != tc.next || got.StandIn != tc.standIn {
				t.Errorf("holder %d next %d stand-in %d, want %d, %d, %d", got.Holder, got.Next, got.StandIn, tc.holder, tc.next, tc.standIn)
			}
		})
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		addrs, nodes := random(rnd)
		want := map[netip.Addr]string{}
		for i, r := range Elect(nodes, addrs) {
			want[addrs[i].Addr] = describe(addrs[i], r)
		}
		rnd.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
		for i := range addrs {
			cs := addrs[i].Claims
			rnd.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
		}
		for i, r := range Elect(nodes, addrs) {
			if got := describe(addrs[i], r); got != want[addrs[i].Addr] {
				t.Fatalf("%s: %s in one order and %s in another", addrs[i].Addr, want[addrs[i].Addr], got)
			}
		}
	}
}

func describe(a Address, r Result) string {
	var c Claim
	if r.Claim != None {
		c = a.Claims[r.Claim]
	}
	return fmt.Sprintf("%+v holder %d next %d stand-in %d", c, r.Holder, r.Next, r.StandIn)
}

// The brute-force twin of "only the dead node's addresses move": who holds what before and after, all of them compared.
func TestOnlyTheDeadNodesAddressesMove(t *testing.T) {
	const nodes, addrs = 10, 500
	for dead := range nodes {
		as := free(nodes, addrs)
		settle(as, Elect(nodes, as))
		before := Elect(nodes, as)
		cs := candidates(nodes)
		cs[dead].Fit = 0
		after := Elect(nodes, with(as, NewSlate(cs)))
		for i := range as {
			switch b, a := before[i], after[i]; {
			case b.Holder == dead && (a.Holder != None || a.Next == None || a.Next == dead):
				t.Fatalf("%s of the dead node is %+v", as[i].Addr, a)
			case b.Holder != dead && (a.Holder != b.Holder || a.Next != None):
				t.Fatalf("%s moves from %d when %d dies: %+v", as[i].Addr, b.Holder, dead, a)
			}
		}
	}
}

// TestSpread: 100 addresses on 10 nodes leave no node with more than 1.3 times the mean, from the start and when nodes
// have died, and a node that returns takes back no more than that needs.
func TestSpread(t *testing.T) {
	const nodes, addrs = 10, 100
	as := free(nodes, addrs)
	settle(as, Elect(nodes, as))
	for node, n := range holders(nodes, as) {
		if n == 0 || n > addrs/nodes*13/10 {
			t.Errorf("node %d has %d at the start", node, n)
		}
	}
	cs := candidates(nodes)
	cs[0].Fit, cs[1].Fit = 0, 0
	with(as, NewSlate(cs))
	settle(as, Elect(nodes, as))
	for node, n := range holders(nodes, as) {
		if n*10*(nodes-2) > addrs*13*10 {
			t.Errorf("node %d has %d when two are dead", node, n)
		}
	}
	with(as, NewSlate(candidates(nodes)))
	moved := 0
	for _, r := range Elect(nodes, as) {
		if r.Next != None {
			moved++
		}
	}
	settle(as, Elect(nodes, as))
	for node, n := range holders(nodes, as) {
		if n > addrs/nodes*13/10 {
			t.Errorf("node %d has %d when they are back", node, n)
		}
	}
	if moved > addrs/nodes {
		t.Errorf("%d addresses moved when two nodes came back", moved)
	}
	for _, r := range Elect(nodes, as) {
		if r.Next != None {
			t.Fatalf("it does not come to rest: %+v", r)
		}
	}
}

// TestTheStandInIsTheHeir: when the node that is away does not come back, its stand-ins take over.
func TestTheStandInIsTheHeir(t *testing.T) {
	const nodes, addrs = 5, 200
	as := free(nodes, addrs)
	settle(as, Elect(nodes, as))
	cs := candidates(nodes)
	cs[2].Fit = Returns
	for i := range as {
		if c := &as[i].Claims[0]; c.Node == 2 {
			c.Remembered = true
		}
	}
	away := Elect(nodes, with(as, NewSlate(cs)))
	gone := candidates(nodes)
	gone[2].Fit = 0
	for i, r := range Elect(nodes, with(as, NewSlate(gone))) {
		if r.Next != away[i].StandIn || away[i].Next != None {
			t.Fatalf("%s: %+v while away, %+v when gone", as[i].Addr, away[i], r)
		}
	}
}

func BenchmarkElect(b *testing.B) {
	for _, size := range []struct{ addrs, nodes int }{{10000, 100}, {10000, 1000}} {
		for _, held := range []bool{false, true} {
			b.Run(fmt.Sprintf("addresses=%d/nodes=%d/held=%t", size.addrs, size.nodes, held), func(b *testing.B) {
				as := free(size.nodes, size.addrs)
				if held {
					settle(as, Elect(size.nodes, as))
				}
				for b.Loop() {
					Elect(size.nodes, as)
				}
			})
		}
	}
}
