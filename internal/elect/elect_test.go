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

func TestOwner(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	if _, ok := Owner(addr, nil); ok {
		t.Error("an address without candidates has an owner")
	}
	hashed, _ := Owner(addr, candidates(3))
	for i, c := range candidates(3) {
		if c.Node == hashed {
			continue
		}
		in := candidates(3)
		in[i].InSubnet = true
		if got, _ := Owner(addr, in); got != c.Node {
			t.Errorf("owner is %s, but only %s has the subnet", got, c.Node)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		addr, cs := address(i), candidates(1+rnd.IntN(12))
		for j := range cs {
			cs[j].InSubnet = rnd.IntN(2) == 0
		}
		want, _ := Owner(addr, cs)
		rnd.Shuffle(len(cs), func(a, b int) { cs[a], cs[b] = cs[b], cs[a] })
		if got, _ := Owner(addr, cs); got != want {
			t.Fatalf("%s: owner is %s in one order and %s in another", addr, want, got)
		}
	}
}

// The brute-force twin of "only the dead node's addresses move": elect before and after, and compare all of them.
func TestOnlyTheDeadNodesAddressesMove(t *testing.T) {
	const nodes, addrs = 10, 2000
	all := candidates(nodes)
	for dead := range nodes {
		rest := append(candidates(nodes)[:dead:dead], all[dead+1:]...)
		for i := range addrs {
			before, _ := Owner(address(i), all)
			after, _ := Owner(address(i), rest)
			if before != all[dead].Node && before != after {
				t.Fatalf("%s moved from %s to %s when %s died", address(i), before, after, all[dead].Node)
			}
			if after == all[dead].Node {
				t.Fatalf("%s is owned by the dead node", address(i))
			}
		}
	}
}

func TestSpread(t *testing.T) {
	const nodes, addrs = 10, 10000
	count := map[string]int{}
	for i := range addrs {
		n, _ := Owner(address(i), candidates(nodes))
		count[n]++
	}
	for n, c := range count {
		if c < addrs/nodes*8/10 || c > addrs/nodes*12/10 {
			t.Errorf("%s owns %d of %d addresses, want about %d", n, c, addrs, addrs/nodes)
		}
	}
	if len(count) != nodes {
		t.Errorf("%d of %d nodes own something", len(count), nodes)
	}
}

func BenchmarkOwner100Nodes(b *testing.B) {
	cs, a := candidates(100), address(7)
	for b.Loop() {
		Owner(a, cs)
	}
}

func candidates(n int) []Candidate {
	cs := make([]Candidate, n)
	for i := range cs {
		name := fmt.Sprintf("n%d", i+1)
		cs[i] = Candidate{Node: name, Hash: Hash(name)}
	}
	return cs
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
