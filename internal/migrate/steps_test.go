package migrate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// world carries steps out as a cluster would: what is waited for comes after a while, or at once.
type world struct {
	s      State
	ours   bool
	config State // what is to be applied
	bgp    bool  // our peers are there
	r      *rand.Rand
}

func fresh(nodes int, bgp bool) *world {
	w := &world{r: rand.New(rand.NewPCG(1, uint64(nodes)))}
	w.s = State{Secrets: []Secret{{"a", "b"}}, Pools: []string{"IPAddressPool lan"}, Giving: []string{"IPAddressPool lan"}, L2: []string{"L2Advertisement lan"}, Controller: true}
	if bgp {
		w.s.BGP = []string{"BGPPeer tor"}
	}
	w.config = w.s
	for i := range nodes {
		w.s.Nodes = append(w.s.Nodes, Node{Name: string(rune('a' + i)), Running: true})
	}
	return w
}

func (w *world) node(step Step) *Node {
	i := slices.IndexFunc(w.s.Nodes, func(n Node) bool { return n.Name == step.Nodes[0] })
	return &w.s.Nodes[i]
}

// carryOut has the effect of a step as a cluster has it: sessions come and go a while after they may.
func (w *world) carryOut(t *testing.T, step Step) {
	t.Helper()
	s := &w.s
	switch step.Do {
	case CopySecrets:
		s.Secrets = nil
	case StopController:
		s.Controller, s.Stopping = false, true
	case AwaitStopped:
		s.Stopping = w.r.IntN(2) == 0
	case StartControl:
		s.Controller = true
	case ApplyPools:
		s.Pools, s.Giving, s.Foreign, s.Shut, w.ours = nil, nil, []string{"default/web"}, w.config.Giving, true
	case OpenPools:
		if len(s.Pools)+len(s.Foreign) > 0 {
			t.Errorf("pools give addresses before %v are there and %v adopted", s.Pools, s.Foreign)
		}
		s.Shut = nil
	case AwaitAdoption:
		s.Foreign = nil
	case ApplyL2:
		s.L2, s.Silent = nil, []string{"default/web"}
	case AwaitL2:
		s.Silent = nil
	case ApplyBGP:
		s.BGP, s.Guarded, w.bgp = nil, true, true
	case Retire:
		s.Retired, s.Patched = true, true
	case Unguard:
		s.Guarded = false
	case RestoreDaemon:
		s.Patched, s.Rolling = false, true
	case AwaitRollout:
		s.Rolling = w.r.IntN(2) == 0
	case DeleteObjects:
		w.ours, s.Guarded, w.bgp = false, false, false
		s.Foreign, s.Silent, s.Shut = nil, nil, nil
		s.Pools, s.Giving, s.L2, s.BGP = w.config.Pools, w.config.Giving, w.config.L2, w.config.BGP
	case Unlabel:
		for i := range s.Nodes {
			s.Nodes[i].Left, s.Nodes[i].Labelled = false, false
		}
	default:
		w.onNode(t, step)
	}
}

func (w *world) onNode(t *testing.T, step Step) {
	t.Helper()
	n := w.node(step)
	switch step.Do {
	case LeaveNode:
		n.Left, n.Labelled, w.s.Patched = true, true, true
	case AwaitLeft:
		n.Running = w.r.IntN(2) == 0
		n.Settling = false
	case SelectNode:
		n.Selected, n.Labelled, n.Waiting = true, true, "session tor"
	case AwaitNode:
		n.Waiting, n.Talking = "", true
	case ReleaseNode:
		w.s.Guarded, n.Selected, n.Waiting = true, false, ""
	case AwaitRelease:
		n.Talking = w.r.IntN(2) == 0
	case ReturnNode:
		if w.s.Retired {
			w.s.hold(n.Name)
		}
		n.Left, n.Labelled = false, false
	case AwaitReturn:
		n.Running, n.Settling = true, w.r.IntN(2) == 0
	default:
		t.Fatalf("nobody can carry out %+v", step)
	}
}

// sound is what must hold at every moment, on the way there and back.
func (w *world) sound(t *testing.T, step Step) {
	t.Helper()
	between := 0
	for _, n := range w.s.Nodes {
		if n.Running && (n.Selected || n.Talking) {
			t.Fatalf("%s: two speakers dial the routers of %s", step.Do, n.Name)
		}
		if w.bgp && !(n.Running && !n.Settling) && !(n.Selected && n.Waiting == "") {
			between++
		}
	}
	if between > 1 {
		t.Fatalf("%s: %d nodes without routes at once", step.Do, between)
	}
	if (w.s.Controller || w.s.Stopping) && len(w.s.Foreign)+len(w.s.Silent) > 0 && w.ours {
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
	if s.Controller || s.Stopping || !s.Retired || s.Guarded || len(s.Pools)+len(s.L2)+len(s.BGP)+len(s.Foreign)+len(s.Silent) > 0 {
		t.Errorf("done, but %+v", s)
	}
	for _, n := range s.Nodes {
		if n.Running || n.Labelled {
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
		w.sound(t, step)
	}
	for _, n := range w.s.Nodes {
		if !n.Running || n.Left || n.Selected || n.Labelled || n.Settling {
			t.Errorf("back, but %+v", n)
		}
	}
	if !w.s.Controller || w.ours || w.s.Patched || w.s.Rolling {
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

// A change-over may be turned round at any moment, and round again: it arrives all the same.
func TestTurningRoundAndRoundAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		w := fresh(1+r.IntN(4), r.IntN(2) == 0)
		w.r = r
		for turns := r.IntN(6); turns > 0; turns-- {
			w.some(t, r.IntN(30), func() (Step, bool) { return Next(w.s) })
			w.some(t, r.IntN(30), func() (Step, bool) { return Back(w.s, w.ours) })
		}
		w.some(t, 300, func() (Step, bool) { return Next(w.s) })
		w.arrived(t)
		w.back(t)
	}
}

func (w *world) some(t *testing.T, steps int, next func() (Step, bool)) {
	t.Helper()
	for range steps {
		step, ok := next()
		if !ok {
			return
		}
		w.carryOut(t, step)
		w.sound(t, step)
	}
}

// What is rehearsed is what happens, save for how often one waits.
func TestRehearsal(t *testing.T) {
	for _, bgp := range []bool{false, true} {
		w := fresh(3, bgp)
		w.s.Foreign, w.s.Silent = []string{"default/web"}, []string{"default/web"}
		var forth, back []Do
		for _, s := range Rehearse(w.s) {
			forth = append(forth, s.Do)
		}
		w.s.Foreign, w.s.Silent = nil, nil
		var did []Do
		for step, ok := Next(w.s); ok; step, ok = Next(w.s) {
			if len(did) == 0 || !step.Waits() || did[len(did)-1] != step.Do {
				did = append(did, step.Do)
			}
			w.carryOut(t, step)
		}
		if !slices.Equal(forth, did) {
			t.Errorf("rehearsed %v\ndid       %v", forth, did)
		}
		for _, s := range RehearseBack(w.s, true) {
			back = append(back, s.Do)
		}
		did = nil
		for step, ok := Back(w.s, w.ours); ok; step, ok = Back(w.s, w.ours) {
			if len(did) == 0 || !step.Waits() || did[len(did)-1] != step.Do {
				did = append(did, step.Do)
			}
			w.carryOut(t, step)
		}
		if !slices.Equal(back, did) {
			t.Errorf("rehearsed %v\ndid       %v", back, did)
		}
	}
}

func TestGap(t *testing.T) {
	for _, tc := range []struct {
		bgp, back, want bool
		nodes           int
	}{{nodes: 1}, {bgp: true, nodes: 1, want: true}, {bgp: true, nodes: 1, back: true, want: true}, {bgp: true, nodes: 2}} {
		if got := Gap(tc.bgp, tc.nodes, tc.back); (got != "") != tc.want || tc.want && !strings.Contains(got, " s in the test") {
			t.Errorf("%+v: %q", tc, got)
		}
	}
	if Gap(true, 1, true) == Gap(true, 1, false) {
		t.Error("there and back are the same")
	}
}

// A node that is on its way is finished before one whose old speaker has just started.
func TestNoSecondNodeSetsOut(t *testing.T) {
	s := State{Guarded: true, Patched: true, Nodes: []Node{
		{Name: "a", Running: true}, {Name: "b", Running: true, Settling: true}, {Name: "c", Running: true, Left: true, Labelled: true},
	}}
	for _, want := range []string{"c", "b", "a"} {
		step, ok := Next(s)
		if !ok || len(step.Nodes) != 1 || step.Nodes[0] != want {
			t.Fatalf("got %+v, want a step on %s", step, want)
		}
		i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == want })
		s.Nodes[i] = Node{Name: want, Left: true, Selected: true, Labelled: true}
	}
}
