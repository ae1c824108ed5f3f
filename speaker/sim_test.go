package speaker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// sim is a cluster of speakers' minds in virtual time. What they say to each other takes its time, and is lost at times:
// then it comes with the next full exchange. Membership and probes are as slow as the real ones.
type sim struct {
	t        *testing.T
	rnd      *rand.Rand
	now      time.Time
	delay    time.Duration // the longest that a word takes
	loss     float64       // how much of it takes a full exchange
	nodes    []*simNode
	services []plan.Service
	config   *spec.Snapshot
	due      map[time.Time][]func()
	watch    func() // after each instant in which somebody has planned
	passes   int
	updates  int // plans that were made from what had changed
}

type simNode struct {
	*sim
	name     string
	powered  bool // its kernel is there
	up       bool // its speaker runs
	since    time.Time
	draining bool
	cut      int  // in which part of the network it is
	dark     bool // its cable is out
	mind     *mind
	planner  *plan.Planner
	settled  time.Time
	state    members.State
	joins    uint64 // starts of its process
	version  int
	facts    []byte
	status   []plan.Claim // as its SpeakerStatus has it
	says     map[netip.Addr]plan.Saying
	sees     map[string]*sight
	targets  []string
	verdicts map[string]liveness.Verdict
	dirty    bool
}

// sight is what one node sees of another.
type sight struct {
	member  members.Member
	there   bool
	version int
	drains  bool
}

const (
	simStep  = 5 * time.Millisecond
	simGone  = time.Second            // until the group drops a member
	simDead  = 480 * time.Millisecond // until probes find a node silent
	simFound = 120 * time.Millisecond // until they find its speaker gone, or back
)

func newSim(t *testing.T, seed uint64, nodes, addrs int) *sim {
	s := &sim{
		t: t, rnd: rand.New(rand.NewPCG(seed, seed)), now: time.Unix(1e9, 0), delay: 40 * time.Millisecond, due: map[time.Time][]func(){},
		config: &spec.Snapshot{L2Advertisements: []spec.L2Advertisement{{Name: "all", Conflicts: spec.ConflictOff}}},
	}
	for i := range nodes {
		n := &simNode{sim: s, name: fmt.Sprintf("n%03d", i), powered: true, sees: map[string]*sight{}}
		s.nodes = append(s.nodes, n)
	}
	var all []string
	for _, n := range s.nodes {
		all = append(all, n.name)
		for _, o := range s.nodes {
			n.sees[o.name] = &sight{}
		}
	}
	for i := range addrs {
		s.services = append(s.services, plan.Service{
			Service: &spec.Service{
				Key:  types.NamespacedName{Namespace: "default", Name: fmt.Sprint("s", i)},
				Held: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(2 + i>>8), byte(i)})}, Pools: []string{"lan"},
			},
			Endpoints: spec.Endpoints{IPv4: spec.Backends{Nodes: all}},
		})
	}
	return s
}

func (s *sim) node(name string) *simNode {
	i, _ := slices.BinarySearchFunc(s.nodes, name, func(n *simNode, name string) int {
		if n.name < name {
			return -1
		}
		if n.name > name {
			return 1
		}
		return 0
	})
	return s.nodes[i]
}

func (s *sim) at(d time.Duration, f func()) {
	when := s.now.Add(d).Truncate(simStep)
	if !when.After(s.now) {
		when = s.now.Add(simStep)
	}
	s.due[when] = append(s.due[when], f)
}

// jitter is how long a word takes.
func (s *sim) jitter() time.Duration {
	d := time.Duration(s.rnd.Int64N(int64(s.delay)))
	if s.rnd.Float64() < s.loss {
		d += time.Duration(s.rnd.Int64N(int64(2 * time.Second)))
	}
	return d
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(simStep)
		todo := s.due[s.now]
		delete(s.due, s.now)
		for _, f := range todo {
			f()
		}
		planned := false
		for _, n := range s.nodes {
			planned = n.turn() || planned
		}
		if planned && s.watch != nil {
			s.watch()
		}
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
}

// start begins a new process.
func (n *simNode) start() {
	n.up, n.since, n.joins, n.state = true, n.now, n.joins+1, members.Starting
	n.mind, n.planner = newMind(n.name, RestartWindow, holdDown, logr.Discard()), plan.NewPlanner(n.name)
	n.facts, n.says, n.settled, n.dirty, n.verdicts = nil, nil, time.Time{}, true, nil
	n.targets = nil
	for _, o := range n.sim.nodes {
		n.sees[o.name] = &sight{drains: o.draining}
		if o.up && o.cut == n.cut {
			n.meet(o)
		}
	}
	n.publish()
}

// meet has two members learn of each other.
func (n *simNode) meet(o *simNode) {
	n.tell(o)
	if o != n {
		o.tell(n)
	}
}

// tell has o learn, in time, what n says now.
func (n *simNode) tell(o *simNode) {
	m := members.Member{Name: n.name, State: n.state, Facts: n.facts, Current: true, Joins: n.joins}
	version, process, to := n.version, n.joins, o.joins
	deliver := func() {
		s := o.sees[n.name]
		if !o.up || o.joins != to || o.cut != n.cut || version < s.version || process != n.joins {
			return
		}
		s.member, s.there, s.version = m, true, version
		o.dirty = true
	}
	if o == n {
		deliver()
		return
	}
	n.at(n.jitter(), deliver)
}

func (n *simNode) publish() {
	n.version++
	for _, o := range n.sim.nodes {
		if o.up && o.cut == n.cut {
			n.tell(o)
		}
	}
}

// stop ends the process; the others notice that it is gone.
func (n *simNode) stop() {
	n.up, n.since, n.says = false, n.now, nil
	process := n.joins
	for _, o := range n.sim.nodes {
		n.at(simGone+n.jitter(), func() {
			if s := o.sees[n.name]; s.there && s.member.Joins == process {
				s.there, o.dirty = false, true
			}
		})
	}
}

func (n *simNode) kill() { n.stop() }

func (n *simNode) powerCut() {
	n.powered = false
	n.stop()
}

// restart says that it restarts, ends, and is back after a while.
func (n *simNode) restart(after time.Duration) {
	n.state = members.Restarting
	n.publish()
	n.at(100*time.Millisecond, func() {
		n.stop()
		n.at(after, n.start)
	})
}

func (n *simNode) drain(is bool) {
	n.draining = is
	for _, o := range n.sim.nodes {
		n.at(n.jitter(), func() { o.sees[n.name].drains, o.dirty = is, true })
	}
}

// split puts some nodes behind a wall, heal takes it away.
func (s *sim) split(part []*simNode) {
	for _, n := range part {
		n.cut, n.since = 1, s.now
	}
	for _, n := range s.nodes {
		for _, o := range s.nodes {
			if n.cut != o.cut {
				s.at(simGone+s.jitter(), func() {
					if n.cut != o.cut {
						n.sees[o.name].there, n.dirty = false, true
					}
				})
			}
		}
	}
}

func (s *sim) heal() {
	for _, n := range s.nodes {
		if n.cut != 0 {
			n.cut, n.since = 0, s.now
			for _, o := range s.nodes {
				if o.up && n.up {
					n.meet(o)
				}
			}
		}
	}
}

// probe is what n's probes say of its targets now.
func (n *simNode) probe() bool {
	verdicts := map[string]liveness.Verdict{}
	for _, name := range n.targets {
		o := n.node(name)
		since := n.now.Sub(o.since)
		if n.cut != o.cut {
			since = min(since, n.now.Sub(n.since))
		}
		state := n.verdicts[name].State
		switch {
		case o.up && o.cut == n.cut:
			if since >= simFound {
				state = liveness.Answering
			}
		case state == liveness.Unknown: // it never answered
		case o.powered && o.cut == n.cut && since >= simFound:
			state = liveness.Refused
		case (!o.powered || o.cut != n.cut) && since >= simDead:
			state = liveness.Silent
		}
		verdicts[name] = liveness.Verdict{State: state}
	}
	changed := !maps.Equal(n.verdicts, verdicts)
	n.verdicts = verdicts
	return changed
}

// turn is one pass, if there is reason for one.
func (n *simNode) turn() bool {
	if !n.up || n.state == members.Restarting {
		return false
	}
	next := n.mind.next(n.now.Add(-simStep))
	if changed := n.probe(); !n.dirty && !changed && (next.IsZero() || next.After(n.now)) {
		return false
	}
	n.dirty = false
	n.passes++
	roster, everybody := n.roster()
	if n.settled.IsZero() && (everybody || !n.now.Before(n.since.Add(members.DefaultJoinWindow))) {
		n.settled = n.now
		n.mind.facts.Absent = map[string][]plan.Claim{n.name: n.status}
		for _, o := range n.sim.nodes {
			if o := n.sees[o.name]; o.there && o.member.State == members.Ready {
				continue
			}
			if o != n {
				n.mind.facts.Absent[o.name] = o.status
			}
		}
	}
	p := n.plan(n.world(roster))
	n.says, n.targets = maps.Clone(p.L2), liveness.TargetsOf(n.name, p.Successors)
	for _, say := range p.L2 {
		if say.Role == plan.Answer {
			n.mind.generation(netip.Addr{}, say)
		}
	}
	n.mind.learn(n.now, p)
	was, state := string(n.facts), n.state
	if !n.settled.IsZero() {
		n.status = p.Claims
		if n.mind.readyAt.IsZero() {
			n.mind.readyAt, n.dirty = n.now, true
		}
		n.state = members.Ready
		if n.draining {
			n.state = members.Draining
		}
	}
	facts, err := n.mind.tells(n.now, simInterfaces(n.name, !n.dark), plan.DataplaneUnknown, n.verdicts, nil).encode()
	if err != nil {
		n.t.Fatal(err)
	}
	if n.facts = facts; string(facts) != was || n.state != state {
		n.publish()
	}
	return true
}

// plan is made as a passer makes it, and must be what Make finds.
func (n *simNode) plan(w plan.World) plan.Plan {
	want := plan.Make(w, n.name)
	is, ok := n.planner.Update(w.Own, w.Nodes, plan.Change{})
	if ok {
		n.updates++
	} else {
		is = n.planner.Whole(w)
	}
	if want.Withheld = nil; !reflect.DeepEqual(want, is) {
		n.t.Fatalf("%s plans otherwise when it looks at what has changed: %s", n.name, cmp.Diff(want, is, equalPrefixes))
	}
	return is
}

func (n *simNode) roster() (roster []members.Member, everybody bool) {
	everybody = true
	for _, o := range n.sim.nodes {
		if s := n.sees[o.name]; s.there {
			roster = append(roster, s.member)
			everybody = everybody && s.member.Facts != nil
		} else {
			everybody = false
		}
	}
	return roster, everybody
}

func (n *simNode) world(roster []members.Member) plan.World {
	cluster := make([]spec.Node, len(n.sim.nodes))
	for i, o := range n.sim.nodes {
		cluster[i] = spec.Node{Name: o.name, Ready: true, Draining: n.sees[o.name].drains}
	}
	return plan.World{
		Config: n.config, Services: n.services, Nodes: n.mind.nodes(n.now, cluster, roster),
		Own: plan.Own{Overdue: n.mind.overdue(n.now)},
	}
}

func simInterfaces(node string, up bool) []plan.Interface {
	return []plan.Interface{{Name: "eth0", MAC: node, Up: up, IPv4: true, Prefixes: prefixes("192.0.0.0/16")}}
}

// unplug pulls a node's cable, and plugIn plugs it in again: its group finds the others some time after.
func (n *simNode) unplug() {
	n.dark, n.dirty = true, true
	n.split([]*simNode{n})
}

func (n *simNode) plugIn(found time.Duration) {
	n.dark, n.dirty = false, true
	n.at(found, n.heal)
}

// answers are the nodes whose hardware address is told to whoever asks for an address now, by themselves or by others.
func (s *sim) answers(a netip.Addr) (own, told []string) {
	for _, n := range s.nodes {
		if !n.up {
			continue
		}
		switch say := n.says[a]; say.Role {
		case plan.Answer:
			own, told = append(own, n.name), append(told, n.name)
		case plan.StandIn:
			if mac := say.As["eth0"]; mac != "" {
				told = append(told, mac)
			}
		}
	}
	slices.Sort(told)
	return own, slices.Compact(told)
}

// owners tells who has which address, when the cluster is at rest.
func (s *sim) owners() map[netip.Addr]string {
	s.t.Helper()
	out := map[netip.Addr]string{}
	for _, svc := range s.services {
		own, told := s.answers(svc.Held[0])
		if len(own) != 1 || len(told) != 1 {
			s.t.Fatalf("%s is answered by %v, as %v", svc.Held[0], own, told)
		}
		out[svc.Held[0]] = own[0]
	}
	return out
}

func (s *sim) startAll() map[netip.Addr]string {
	for _, n := range s.nodes {
		s.at(time.Duration(s.rnd.Int64N(int64(2*time.Second))), n.start)
	}
	s.run(50 * time.Second) // longer than the hold-down, so that everybody has its share
	return s.owners()
}

// neverTwo watches that no two nodes answer with their own hardware addresses.
func (s *sim) neverTwo() {
	s.watch = func() {
		for _, svc := range s.services {
			if own, _ := s.answers(svc.Held[0]); len(own) > 1 {
				s.t.Errorf("%s: %s answer at a time", s.now.Format(".000"), own)
			}
		}
	}
}

// only watches that whoever asks is told of these owners, or of nobody.
func (s *sim) only(owners map[netip.Addr]string) {
	s.watch = func() {
		for a, owner := range owners {
			if _, told := s.answers(a); len(told) > 1 || len(told) == 1 && told[0] != owner {
				s.t.Errorf("%s: %s is at %s, and %v are told", s.now.Format("15:04:05.000"), a, owner, told)
			}
		}
	}
}

func eachSize(t *testing.T, f func(t *testing.T, s *sim)) {
	for _, size := range []struct{ nodes, addrs int }{{1, 3}, {2, 7}, {3, 10}, {5, 30}} {
		t.Run(fmt.Sprintf("nodes=%d", size.nodes), func(t *testing.T) {
			t.Parallel()
			f(t, newSim(t, uint64(size.nodes), size.nodes, size.addrs))
		})
	}
}

func TestSimRollingRestart(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		before := s.startAll()
		s.only(before)
		for i := range min(len(s.nodes), 10) {
			s.nodes[i].restart(time.Duration(1+i%8) * time.Second)
			s.run(12 * time.Second)
		}
		s.run(40 * time.Second)
		if !maps.Equal(before, s.owners()) {
			t.Error("addresses have moved")
		}
	})
}

// TestSimKilled: a process that dies without a word is a restart that nobody announced, and stays one for its time.
func TestSimKilled(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		before := s.startAll()
		s.only(before)
		n := s.nodes[s.rnd.IntN(len(s.nodes))]
		n.kill()
		s.run(7 * time.Second)
		n.start()
		s.run(40 * time.Second)
		if !maps.Equal(before, s.owners()) {
			t.Error("addresses have moved")
		}
	})
}

// TestSimAllRestart: nobody is left who remembers. Some take part before others have started, and that in any order.
func TestSimAllRestart(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		before := s.startAll()
		s.only(before)
		for _, n := range s.nodes {
			n.stop()
		}
		s.run(5 * time.Second)
		for _, n := range s.nodes {
			s.at(time.Duration(s.rnd.Int64N(int64(8*time.Second))), n.start)
		}
		s.run(60 * time.Second)
		if !maps.Equal(before, s.owners()) {
			t.Error("addresses have moved")
		}
	})
}

// TestSimPowerCut: only the dead node's addresses move, soon, and stay where they are when it is back, but for what balance
// needs.
func TestSimPowerCut(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		if len(s.nodes) == 1 {
			return
		}
		before := s.startAll()
		s.neverTwo()
		dead := s.nodes[s.rnd.IntN(len(s.nodes))]
		dead.powerCut()
		s.run(time.Second)
		after := s.owners()
		for a, owner := range after {
			if owner == dead.name || before[a] != dead.name && before[a] != owner {
				t.Errorf("%s has gone from %s to %s when %s died", a, before[a], owner, dead.name)
			}
		}
		s.run(20 * time.Second)
		dead.powered = true
		dead.start()
		s.only(after)
		s.run(20 * time.Second) // less than the hold-down
		s.neverTwo()
		s.run(40 * time.Second)
		moved := 0
		for a, owner := range s.owners() {
			if owner != after[a] {
				moved++
			}
		}
		if mean := len(s.services)/len(s.nodes) + 1; moved > mean {
			t.Errorf("%d addresses have gone back, the mean is %d", moved, mean)
		}
	})
}

// TestSimDrain: what a drained node has goes to others, one answer at a time, without a moment in which nobody answers.
func TestSimDrain(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		if len(s.nodes) == 1 {
			return
		}
		before := s.startAll()
		s.neverTwo()
		once := s.watch
		s.watch = func() {
			once()
			for a := range before {
				if _, told := s.answers(a); len(told) != 1 {
					t.Errorf("%s: for %s %v are told", s.now.Format("15:04:05.000"), a, told)
				}
			}
		}
		gone := s.nodes[s.rnd.IntN(len(s.nodes))]
		gone.drain(true)
		s.run(2 * time.Second)
		after := s.owners()
		for a, owner := range after {
			if owner == gone.name || before[a] != gone.name && before[a] != owner {
				t.Errorf("%s has gone from %s to %s when %s was drained", a, before[a], owner, gone.name)
			}
		}
		gone.drain(false)
		s.run(time.Minute)
		s.owners()
	})
}

// TestSimPartition: each side goes on with what it has and takes what it misses; when they meet again there is one owner
// for each address, the one before.
func TestSimPartition(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		if len(s.nodes) == 1 {
			return
		}
		before := s.startAll()
		s.split(s.nodes[:len(s.nodes)/2])
		s.run(15 * time.Second)
		for a := range before {
			if own, _ := s.answers(a); len(own) != 2 {
				t.Errorf("%s is answered by %v", a, own)
			}
		}
		s.heal()
		s.run(2 * time.Second)
		after := s.owners()
		s.only(after)
		s.run(time.Minute)
		for a, owner := range after {
			if owner != before[a] {
				t.Errorf("%s has gone from %s to %s", a, before[a], owner)
			}
		}
	})
}

// TestSimCable: who finds itself alone because its cable was out does not take what others have had since.
func TestSimCable(t *testing.T) {
	for out, found := range map[time.Duration]time.Duration{700 * time.Millisecond: 0, 10 * time.Second: 6 * time.Second} {
		t.Run(out.String(), func(t *testing.T) {
			eachSize(t, func(t *testing.T, s *sim) {
				s.startAll()
				n := s.nodes[s.rnd.IntN(len(s.nodes))]
				n.unplug()
				s.run(out)
				if len(s.nodes) > 1 {
					s.only(s.owners())
				}
				n.plugIn(found)
				s.run(20 * time.Second)
				s.owners()
			})
		})
	}
}

// TestSimCableOfTheLast: when nobody is found, there is nobody.
func TestSimCableOfTheLast(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		s.startAll()
		n := s.nodes[s.rnd.IntN(len(s.nodes))]
		n.unplug()
		s.run(5 * time.Second)
		for _, o := range s.nodes {
			if o != n {
				o.powerCut()
			}
		}
		n.plugIn(time.Second)
		s.run(rejoin + 5*time.Second)
		for a, owner := range s.owners() {
			if owner != n.name {
				t.Errorf("%s is at %s", a, owner)
			}
		}
	})
}

// TestSimStorm does anything at any time, with words that get lost. In the end there is one owner for each address.
func TestSimStorm(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newSim(t, 100+seed, 2+int(seed)%4, 12)
			s.loss = .1
			s.startAll()
			for range 30 {
				switch n := s.nodes[s.rnd.IntN(len(s.nodes))]; {
				case !n.up:
				case s.rnd.IntN(3) == 0:
					n.restart(time.Duration(s.rnd.Int64N(int64(15 * time.Second))))
				case s.rnd.IntN(3) == 0:
					n.kill()
					s.at(time.Duration(s.rnd.Int64N(int64(15*time.Second))), n.start)
				case s.rnd.IntN(2) == 0:
					n.powerCut()
					s.at(time.Duration(s.rnd.Int64N(int64(15*time.Second))), func() { n.powered = true; n.start() })
				default:
					n.drain(!n.draining)
				}
				s.run(time.Duration(s.rnd.Int64N(int64(6 * time.Second))))
			}
			for _, n := range s.nodes {
				n.drain(false)
			}
			s.run(2 * time.Minute)
			s.owners()
			if s.updates == 0 || s.updates == s.passes {
				t.Errorf("%d of %d plans were made from what had changed: one way was not tried", s.updates, s.passes)
			}
		})
	}
}

// TestSimGone: a speaker that does not come back in time loses what it had, and does not get it back when it comes late.
func TestSimGone(t *testing.T) {
	eachSize(t, func(t *testing.T, s *sim) {
		if len(s.nodes) == 1 {
			return
		}
		before := s.startAll()
		s.neverTwo()
		for _, n := range s.nodes { // so that nobody remembers but from the others
			n.restart(time.Second)
		}
		s.run(40 * time.Second)
		n := s.nodes[s.rnd.IntN(len(s.nodes))]
		n.kill()
		s.run(12 * time.Second)
		after := s.owners()
		for a, owner := range after {
			if owner == n.name || before[a] != n.name && before[a] != owner {
				t.Errorf("%s has gone from %s to %s when the speaker of %s did not come back", a, before[a], owner, n.name)
			}
		}
		s.only(after)
		n.start()
		s.run(20 * time.Second)
	})
}
