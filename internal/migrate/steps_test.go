package migrate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// world carries steps out as a cluster would: what is waited for comes after a while, or at once.
type world struct {
	s    State
	ours bool
	r    *rand.Rand
}

func fresh(nodes int, bgp bool) *world {
	w := &world{r: rand.New(rand.NewPCG(1, uint64(nodes)))}
	w.s = State{Secrets: []Secret{{"a", "b"}}, Pools: []string{"IPAddressPool lan"}, L2: []string{"L2Advertisement lan"}, Controller: true}
	if bgp {
		w.s.BGP, w.s.Guarded = []string{"BGPPeer tor"}, true
	}
	for i := range nodes {
		w.s.Nodes = append(w.s.Nodes, Node{Name: string(rune('a' + i)), Running: true})
	}
	return w
}

func (w *world) node(step Step) *Node {
	i := slices.IndexFunc(w.s.Nodes, func(n Node) bool { return n.Name == step.Nodes[0] })
	return &w.s.Nodes[i]
}

func (w *world) carryOut(t *testing.T, step Step) {
	t.Helper()
	s := &w.s
	switch step.Do {
	case CopySecrets:
		s.Secrets = nil
	case StopController:
		s.Controller = false
	case StartControl:
		s.Controller = true
	case ApplyPools:
		s.Pools, s.Foreign, w.ours = nil, []string{"default/web"}, true
	case AwaitAdoption:
		s.Foreign = nil
	case ApplyL2:
		s.L2, s.Silent = nil, []string{"default/web"}
	case AwaitL2:
		s.Silent = nil
	case ApplyBGP:
		s.BGP = nil
	case LeaveNode:
		w.node(step).Left = true
	case AwaitLeft:
		w.node(step).Running = w.r.IntN(2) == 0
	case SelectNode:
		w.node(step).Selected, w.node(step).Waiting = true, "session tor"
	case AwaitNode:
		w.node(step).Waiting = ""
	case Retire:
		s.Retired = true
	case Unguard:
		s.Guarded = false
	case ReleaseNode:
		w.node(step).Selected, w.node(step).Waiting = false, ""
	case ReturnNode:
		w.node(step).Left, s.Retired = false, false
	case AwaitReturn:
		w.node(step).Running = true
	case DeleteObjects:
		w.ours = false
	default:
		t.Fatalf("nobody can carry out %+v", step)
	}
}

// sound is what must hold at every moment.
func (w *world) sound(t *testing.T, step Step) {
	t.Helper()
	between := 0
	for _, n := range w.s.Nodes {
		if n.Running && n.Selected {
			t.Fatalf("%s: two speakers dial the routers of %s", step.Do, n.Name)
		}
		if w.s.Guarded && !n.Running && (!n.Selected || n.Waiting != "") {
			between++
		}
	}
	if between > 1 {
		t.Fatalf("%s: %d nodes without routes at once", step.Do, between)
	}
	if w.s.Controller && len(w.s.Foreign)+len(w.s.Silent) > 0 {
		t.Fatalf("%s: two controllers assign", step.Do)
	}
}

func TestChangeOverAndBack(t *testing.T) {
	for _, bgp := range []bool{false, true} {
		for nodes := 1; nodes < 5; nodes++ {
			whole := 0
			for turn := 0; turn == 0 || turn < whole; turn++ { // turn back after each number of steps
				w := fresh(nodes, bgp)
				steps := 0
				for ; turn == 0 || steps < turn; steps++ {
					step, ok := Next(w.s)
					if !ok {
						break
					}
					if steps > 200 {
						t.Fatal("it never ends")
					}
					w.carryOut(t, step)
					w.sound(t, step)
				}
				if turn == 0 {
					whole = steps
					w.arrived(t)
				}
				w.back(t)
			}
		}
	}
}

func (w *world) arrived(t *testing.T) {
	t.Helper()
	s := w.s
	if s.Controller || !s.Retired || s.Guarded || len(s.Pools)+len(s.L2)+len(s.BGP)+len(s.Foreign)+len(s.Silent) > 0 {
		t.Errorf("done, but %+v", s)
	}
	for _, n := range s.Nodes {
		if n.Running {
			t.Errorf("done, but the old speaker runs on %s", n.Name)
		}
	}
}

func (w *world) back(t *testing.T) {
	t.Helper()
	for steps := 0; ; steps++ {
		step, ok := Back(w.s, w.ours)
		if !ok {
			break
		}
		if steps > 200 {
			t.Fatalf("it never ends: %+v", step)
		}
		w.carryOut(t, step)
		for _, n := range w.s.Nodes {
			if n.Running && n.Selected {
				t.Fatalf("%s: two speakers dial the routers of %s", step.Do, n.Name)
			}
		}
	}
	for _, n := range w.s.Nodes {
		if !n.Running || n.Left || n.Selected {
			t.Errorf("back, but %+v", n)
		}
	}
	if !w.s.Controller || w.ours {
		t.Errorf("back, but %+v", w.s)
	}
}

// Without Belfry nothing is touched.
func TestNothingBeforeBelfryIsThere(t *testing.T) {
	w := fresh(3, true)
	w.s.Missing = []string{"speaker on n3"}
	if step, ok := Next(w.s); !ok || step.Do != Install {
		t.Errorf("got %+v, %v", step, ok)
	}
}

func TestSome(t *testing.T) {
	for _, tc := range []struct {
		in   []string
		want string
	}{{[]string{"a"}, "a"}, {[]string{"a", "b", "c"}, "a, b, c"}, {[]string{"a", "b", "c", "d", "e"}, "a, b, c and 2 more"}} {
		if got := some(tc.in); got != tc.want {
			t.Errorf("some(%v) = %q, want %q", tc.in, got, tc.want)
		}
	}
}
