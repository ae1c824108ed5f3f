package speaker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// TestEverybodyIsProbed: each node by as many others as there are, three at most, and nobody probes for all.
func TestEverybodyIsProbed(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 100} {
		var roster []members.Member
		for i := range n {
			roster = append(roster, members.Member{Name: fmt.Sprintf("n%02d", i), Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})})
		}
		probers := map[string]int{}
		want := min(n-1, liveness.MaxProbers)
		for _, m := range roster {
			targets := probed(m.Name, roster, 7948)
			if len(targets) != want {
				t.Errorf("of %d nodes %s probes %d", n, m.Name, len(targets))
			}
			for name, at := range targets {
				probers[name]++
				if name == m.Name || at.Port() != 7948 || !at.IsValid() {
					t.Errorf("%s probes %s at %s", m.Name, name, at)
				}
			}
		}
		for name, k := range probers {
			if k != want {
				t.Errorf("of %d nodes %d probe %s", n, k, name)
			}
		}
	}
}

func TestVerdictsAreTold(t *testing.T) {
	d := &fakeDetector{verdicts: map[string]liveness.Verdict{
		"a": {State: liveness.Answering, Since: time.Now()}, "r": {State: liveness.Refused}, "s": {State: liveness.Silent}, "u": {},
	}}
	want := map[string]string{"a": "answering", "r": "refused", "s": "silent"}
	if diff := cmp.Diff(want, verdictsOf(d)); diff != "" {
		t.Error(diff)
	}
	if got := verdictsOf(&fakeDetector{}); got != nil {
		t.Errorf("told %v of nobody", got)
	}
}
