package plan

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/belfry-lb/belfry/internal/spec"
)

var equalPlans = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}

// claimed gives the one address of world to a node.
func claimed(node string, epoch uint64, from string) func(*World) {
	return only(node, func(n *Node) { n.Claims = []Claim{{Addr: vip, Epoch: epoch, From: from}} })
}

func with(edits ...func(*World)) func(*World) {
	return func(w *World) {
		for _, e := range edits {
			e(w)
		}
	}
}

// TestPlannedMove follows an address from n1 to n2, step by step, as both and a third see it.
func TestPlannedMove(t *testing.T) {
	prefer := func(w *World) {
		w.Config.L2Advertisements[0].Preferred = []spec.Preference{{Weight: 10, Nodes: on("n2")}}
	}
	steady := each(func(n *Node) { n.Steady, n.Interfaces[0].MAC = true, "mac of "+n.Name })
	own := Saying{Role: Answer, Interfaces: []string{"eth0"}, Monitor: true}
	as := func(node string) Saying {
		return Saying{Role: StandIn, Interfaces: []string{"eth0"}, Monitor: true, For: node, As: map[string]string{"eth0": "mac of " + node}}
	}
	waits := Saying{Role: Wait, Interfaces: []string{"eth0"}, Monitor: true, For: "n1"}
	contested := own
	contested.Contested = true
	for _, step := range []struct {
		name   string
		edit   func(*World)
		one    Saying // what n1 does
		claims []Claim
		ceded  []Cession
		two    Saying // and n2
		takes  []Claim
	}{
		{"n1 has it, and n2 is better", claimed("n1", 7, ""),
			own, []Claim{{Addr: vip, Epoch: 7}}, nil, waits, []Claim{{Addr: vip, Epoch: 8, From: "n1"}}},
		{"n2 has claimed it", with(claimed("n1", 7, ""), claimed("n2", 8, "n1")),
			as("n2"), nil, []Cession{{vip, "n2", 8}}, waits, []Claim{{Addr: vip, Epoch: 8, From: "n1"}}},
		{"and waited for long enough", with(claimed("n1", 7, ""), claimed("n2", 8, "n1"), func(w *World) { w.Own.Overdue = map[netip.Addr]bool{vip: true} }),
			as("n2"), nil, []Cession{{vip, "n2", 8}}, contested, []Claim{{Addr: vip, Epoch: 8, From: "n1"}}},
		{"n1 has let go", with(claimed("n2", 8, "n1"), only("n1", func(n *Node) { n.Ceded = []Cession{{vip, "n2", 8}} })),
			as("n2"), nil, []Cession{{vip, "n2", 8}}, own, []Claim{{Addr: vip, Epoch: 8}}},
		{"n1 has let go, and n2's own word is still under way", only("n1", func(n *Node) { n.Ceded = []Cession{{vip, "n2", 8}} }),
			as("n2"), nil, []Cession{{vip, "n2", 8}}, own, []Claim{{Addr: vip, Epoch: 8}}},
		{"n2 answers", with(claimed("n2", 8, ""), only("n1", func(n *Node) { n.Ceded = []Cession{{vip, "n2", 8}} })),
			Saying{}, nil, nil, own, []Claim{{Addr: vip, Epoch: 8}}},
		{"n2 has gone before it answered", with(claimed("n1", 7, ""), claimed("n2", 8, "n1"), only("n2", func(n *Node) { n.Alive = false })),
			own, []Claim{{Addr: vip, Epoch: 7}}, nil, Saying{}, nil},
		{"n1 has gone before it let go", with(claimed("n1", 7, ""), claimed("n2", 8, "n1"), only("n1", func(n *Node) { n.Alive = false })),
			Saying{}, nil, nil, own, []Claim{{Addr: vip, Epoch: 8}}},
	} {
		t.Run(step.name, func(t *testing.T) {
			w := world(prefer, steady, step.edit)
			one, two, third := Make(w, "n1"), Make(w, "n2"), Make(w, "n3")
			same := func(want, got any) {
				t.Helper()
				if diff := cmp.Diff(want, got, equalPlans); diff != "" {
					t.Error(diff)
				}
			}
			if w.Nodes[0].Alive { // what one that is gone would do is nothing to anybody
				same(step.one, one.L2[vip])
				same(step.claims, one.Claims)
				same(step.ceded, one.Ceded)
			}
			if w.Nodes[1].Alive {
				same(step.two, two.L2[vip])
				same(step.takes, two.Claims)
			}
			same(Saying{}, third.L2[vip])
			same(Facts{}, third.Facts)
		})
	}
}

// TestDrainHandsOver: a node that is drained answers until somebody else has claimed what it had, and is silent if nobody can.
func TestDrainHandsOver(t *testing.T) {
	for name, leave := range map[string]func(*Node){
		"drained":  func(n *Node) { n.Draining = true },
		"excluded": func(n *Node) { n.Excluded = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := world(claimed("n1", 3, ""), only("n1", leave))
			if p := Make(w, "n1"); p.L2[vip].Role != Answer || len(p.Claims) != 1 {
				t.Errorf("n1 does %+v", p.L2[vip])
			}
			var heirs []string
			for _, n := range []string{"n2", "n3"} {
				if p := Make(w, n); p.L2[vip].Role == Wait && slices.Equal(p.Claims, []Claim{{Addr: vip, Epoch: 4, From: "n1"}}) {
					heirs = append(heirs, n)
				}
			}
			if len(heirs) != 1 {
				t.Errorf("%v are to take it over", heirs)
			}
			alone := world(claimed("n1", 3, ""), only("n1", leave), only("n2", func(n *Node) { n.Alive = false }), only("n3", func(n *Node) { n.Ready = false }))
			if p := Make(alone, "n1"); p.L2[vip].Role != Nothing || len(p.Claims) != 0 {
				t.Errorf("with nobody to take it n1 does %+v", p.L2[vip])
			}
		})
	}
}

// TestPodsMove: with externalTrafficPolicy Local the node that the pods have left answers until the one that they have moved to
// has claimed the address, whichever of the two hears of the pods first.
func TestPodsMove(t *testing.T) {
	moved := func(w *World) { w.Services[0].Local, w.Services[0].Endpoints = true, pods("n2") }
	stays := func(w *World) { w.Services[0].Local, w.Services[0].Endpoints = true, pods("n1") }
	for _, step := range []struct {
		name string
		edit func(*World)
		one  Role
		two  Role
	}{
		{"nobody has claimed it since", with(moved, claimed("n1", 3, "")), Answer, Wait},
		{"n1 has not heard of the pods", with(stays, claimed("n1", 3, ""), claimed("n2", 4, "n1")), Answer, Nothing},
		{"n2 has claimed it", with(moved, claimed("n1", 3, ""), claimed("n2", 4, "n1")), StandIn, Wait},
		{"n1 has let go", with(moved, claimed("n2", 4, "n1")), Nothing, Answer},
		{"n1 was still asking for it", with(moved, claimed("n1", 3, ""), only("n1", func(n *Node) { n.Claims[0].Fresh = true })), Nothing, Answer},
		{"nobody has pods", with(moved, claimed("n1", 3, ""), func(w *World) { w.Services[0].Endpoints = pods() }), Nothing, Nothing},
	} {
		w := world(step.edit)
		if one, two := Make(w, "n1").L2[vip].Role, Make(w, "n2").L2[vip].Role; one != step.one || two != step.two {
			t.Errorf("%s: n1 has role %d, want %d; n2 has role %d, want %d", step.name, one, step.one, two, step.two)
		}
	}
}

// TestRestart: while n1 is away one other node answers with n1's hardware address, and all remember what it had.
func TestRestart(t *testing.T) {
	macs := each(func(n *Node) { n.Interfaces[0].MAC = "mac of " + n.Name })
	away := only("n1", func(n *Node) { n.Alive, n.Ready, n.Away = false, false, true })
	w := world(macs, claimed("n1", 3, ""), away)
	var standIns []string
	for _, n := range []string{"n2", "n3"} {
		p := Make(w, n)
		if diff := cmp.Diff(map[string][]Claim{"n1": {{Addr: vip, Epoch: 3}}}, p.Absent, equalPlans); diff != "" {
			t.Errorf("%s remembers: %s", n, diff)
		}
		if say := p.L2[vip]; say.Role == StandIn && say.For == "n1" && say.As["eth0"] == "mac of n1" {
			standIns = append(standIns, n)
		}
	}
	if len(standIns) != 1 {
		t.Fatalf("%v stand in", standIns)
	}
	t.Run("it is back, and has its claim from the others", func(t *testing.T) {
		back := world(macs, only("n1", func(n *Node) { n.Ready, n.Away = false, true }),
			only("n2", func(n *Node) { n.Absent = map[string][]Claim{"n1": {{Addr: vip, Epoch: 3}}} }))
		p := Make(back, "n1")
		if p.L2[vip].Role != Answer || !slices.Equal(p.Claims, []Claim{{Addr: vip, Epoch: 3}}) {
			t.Errorf("n1 does %+v and claims %v", p.L2[vip], p.Claims)
		}
		back.Nodes[0].Facts = p.Facts
		for _, n := range []string{"n2", "n3"} {
			if p := Make(back, n); len(p.L2) != 0 || len(p.Absent) != 0 {
				t.Errorf("%s still does %+v and remembers %v", n, p.L2, p.Absent)
			}
		}
	})
	t.Run("its node falls silent", func(t *testing.T) {
		dead := world(macs, claimed("n1", 3, ""), away, only("n1", func(n *Node) { n.Silent = true }))
		for _, n := range []string{"n2", "n3"} {
			p := Make(dead, n)
			if takes := p.L2[vip].Role == Answer; takes != (n == standIns[0]) || takes && p.Claims[0].Epoch != 4 {
				t.Errorf("%s does %+v and claims %v", n, p.L2[vip], p.Claims)
			}
		}
	})
	t.Run("another has it by now", func(t *testing.T) {
		late := world(macs, claimed("n1", 3, ""), away, claimed("n3", 4, ""))
		if p := Make(late, "n3"); p.L2[vip].Role != Answer || len(p.Absent) != 0 {
			t.Errorf("n3 does %+v and remembers %v", p.L2[vip], p.Absent)
		}
	})
}

// TestNotReadyKeeps: what keeps a node from acquiring an address does not take one from it.
func TestNotReadyKeeps(t *testing.T) {
	for name, ill := range map[string]func(*Node){
		"the Node is not Ready":   func(n *Node) { n.Node.Ready = false },
		"its kube-proxy is ill":   func(n *Node) { n.Dataplane = DataplaneUnhealthy },
		"its speaker is starting": func(n *Node) { n.Ready, n.Away = false, true },
	} {
		w := world(claimed("n1", 3, ""), only("n1", ill))
		if got := owners(t, w); got[vip] != "n1" {
			t.Errorf("%s: announced by %s", name, got[vip])
		}
	}
	for name, ill := range map[string]func(*Node){
		"its link is down":     func(n *Node) { n.Interfaces[0].Up = false },
		"its speaker has gone": func(n *Node) { n.Alive = false },
		"it is silent":         func(n *Node) { n.Silent = true },
	} {
		w := world(claimed("n1", 3, ""), only("n1", ill))
		w.Nodes[0].Claims = nil
		w.Nodes[0].Absent = nil
		if got := owners(t, w); got[vip] == "n1" || got[vip] == "" {
			t.Errorf("%s: announced by %q", name, got[vip])
		}
	}
}

// TestFirstQuestion: before anybody in the cluster has announced an address, the network is asked.
func TestFirstQuestion(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*World)
		want bool
	}{
		{"new", func(*World) {}, true},
		{"the Service is announced", func(w *World) { w.Services[0].Announced = true }, false},
		{"somebody had it", with(claimed("n1", 3, ""), only("n1", func(n *Node) { n.Alive = false })), false},
		{"somebody was still asking", with(claimed("n1", 3, ""), only("n1", func(n *Node) { n.Alive, n.Claims[0].Fresh = false, true })), true},
		{"it is not to be asked", func(w *World) { w.Config.L2Advertisements[0].Conflicts = spec.ConflictMonitor }, false},
	} {
		w := world(tc.edit)
		asks := false
		for _, n := range w.Nodes {
			if n.Alive {
				p := Make(w, n.Name)
				asks = asks || p.L2[vip].Probe && p.Claims[0].Fresh
			}
		}
		if asks != tc.want {
			t.Errorf("%s: asks %t", tc.name, asks)
		}
	}
}

// TestAnnouncedGoesFirst: of two nodes that have claimed an address at the same time, the one that already answers keeps it, and
// the one that still asks gives way, whoever of them the election prefers.
func TestAnnouncedGoesFirst(t *testing.T) {
	for _, nodes := range [][2]string{{"n1", "n2"}, {"n2", "n1"}} {
		answers, asks := nodes[0], nodes[1]
		w := world(claimed(answers, 1, ""), claimed(asks, 1, ""), only(asks, func(n *Node) { n.Claims[0].Fresh = true }),
			only("n3", func(n *Node) { n.Heard = map[netip.Addr]string{vip: answers} }))
		if p := Make(w, answers); p.L2[vip].Role != Answer || !slices.Equal(p.Claims, []Claim{{Addr: vip, Epoch: 1}}) {
			t.Errorf("%s, which answers, does %+v and claims %v", answers, p.L2[vip], p.Claims)
		}
		if p := Make(w, asks); p.L2[vip].Role != Nothing || len(p.Claims) != 0 {
			t.Errorf("%s, which asks, does %+v and claims %v", asks, p.L2[vip], p.Claims)
		}
	}
}

// TestHeldByAnotherAnnouncer: a node that was heard to have an address that nobody has announced yet is the first owner, if
// it can serve it; else whoever has asked goes on asking.
func TestHeldByAnotherAnnouncer(t *testing.T) {
	heard := func(by, node string) func(*World) {
		return only(by, func(n *Node) {
			n.Claims = []Claim{{Addr: vip, Epoch: 1, Fresh: true}}
			n.Heard = map[netip.Addr]string{vip: node}
		})
	}
	w := world(heard("n1", "n3"))
	if p := Make(w, "n3"); p.L2[vip].Role != Answer || p.L2[vip].Probe || len(p.Claims) != 1 || p.Claims[0].Fresh {
		t.Errorf("n3 does %+v and claims %v", p.L2[vip], p.Claims)
	}
	if p := Make(w, "n1"); p.L2[vip].Role != Nothing || p.Heard[vip] != "n3" || len(p.Claims) != 0 {
		t.Errorf("n1 does %+v, claims %v and has heard %v", p.L2[vip], p.Claims, p.Heard)
	}
	after := world(only("n1", func(n *Node) { n.Heard = map[netip.Addr]string{vip: "n3"} }), claimed("n3", 2, ""))
	if p := Make(after, "n1"); len(p.Heard) != 0 {
		t.Errorf("n1 still says that it has heard %v", p.Heard)
	}
	ill := world(heard("n1", "n3"), only("n3", func(n *Node) { n.Node.Ready = false }))
	if p := Make(ill, "n1"); p.L2[vip].Role != Answer || !p.L2[vip].Probe {
		t.Errorf("n1 does %+v, though n3 cannot have it", p.L2[vip])
	}
	if p := Make(ill, "n3"); p.L2[vip].Role != Nothing {
		t.Errorf("n3 does %+v, though it cannot have it", p.L2[vip])
	}
}
