package speaker

import (
	"testing"
	"time"
)

// TestSimHundred: a hundred nodes agree who has what, each has its share, and when one dies only its addresses move.
func TestSimHundred(t *testing.T) {
	const nodes, addrs = 100, 200
	s := newSim(t, 100, nodes, addrs)
	s.delay = 2 * simStep // words come together, so that the passes can be counted on one hand
	for _, n := range s.nodes {
		n.start()
	}
	s.run(2 * time.Second)
	before := s.owners()
	share := map[string]int{}
	for _, owner := range before {
		share[owner]++
	}
	for owner, n := range share {
		if n > 3 { // 1.3 times the mean
			t.Errorf("%s has %d of %d addresses", owner, n, addrs)
		}
	}
	s.neverTwo()
	s.passes = 0
	dead := s.nodes[nodes/2]
	dead.powerCut()
	s.run(1500 * time.Millisecond)
	after := s.owners()
	for a, owner := range after {
		if owner == dead.name || before[a] != dead.name && before[a] != owner {
			t.Errorf("%s has gone from %s to %s when %s died", a, before[a], owner, dead.name)
		}
	}
	t.Logf("a death: %.1f passes of each speaker", float64(s.passes)/(nodes-1))
}
