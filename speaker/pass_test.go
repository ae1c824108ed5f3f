package speaker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// rig is a passer between a group and a layer 2 that write down what they are told.
type rig struct {
	*passer
	t       *testing.T
	logs    logbook
	api     client.WithWatch
	known   *catalog
	members *fakeGroup
	wire    *fakeAnnouncer
	routers *fakeRouters
	reports []v1beta1.SpeakerStatusStatus
}

type fakeGroup struct {
	mu       sync.Mutex
	roster   []members.Member
	story    []string // states and facts in the order of the calls
	peers    []map[string]netip.AddrPort
	refuse   error
	lags     time.Duration // until this node's own facts are in the roster
	settled  chan struct{}
	changing signal
}

func (g *fakeGroup) Members() []members.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.roster)
}

func (g *fakeGroup) SetPeers(p map[string]netip.AddrPort) { g.peers = append(g.peers, p) }

func (g *fakeGroup) SetState(s members.State) {
	g.story = append(g.story, s.String())
	g.change(func(m *members.Member) { m.State = s })
}

func (g *fakeGroup) Publish(b []byte, _ ...string) error {
	if g.refuse != nil {
		return g.refuse
	}
	if string(g.roster[0].Facts) != string(b) {
		g.story = append(g.story, string(b))
		shows := func() { g.change(func(m *members.Member) { m.Facts = b }) }
		if g.lags == 0 {
			shows()
		} else {
			time.AfterFunc(g.lags, shows)
		}
	}
	return nil
}

func (g *fakeGroup) change(f func(*members.Member)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.roster[0])
	g.changing.raise()
}

// come has another member come, again and again.
func (g *fakeGroup) come() {
	g.mu.Lock()
	defer g.mu.Unlock()
	joins := uint64(1)
	if len(g.roster) > 1 {
		joins += g.roster[1].Joins
	}
	g.roster = append(g.roster[:1:1], members.Member{Name: "n2", Joins: joins})
	g.changing.raise()
}

func (g *fakeGroup) Changed() <-chan struct{} { return g.changing }
func (g *fakeGroup) Settled() <-chan struct{} { return g.settled }

// fakeRouters keeps the last wish and tells what the test wants.
type fakeRouters struct {
	last atomic.Pointer[bgpWish]
	says atomic.Pointer[bgpReport]
}

func (r *fakeRouters) want(w *bgpWish)    { r.last.Store(w) }
func (r *fakeRouters) report() *bgpReport { return r.says.Load() }

type fakeAnnouncer struct {
	interfaces atomic.Pointer[[]l2.Interface]
	passes     atomic.Int64
	asked      atomic.Int64 // addresses in the last desired
	takes      time.Duration
	fail       atomic.Pointer[error]
	desired    l2.Desired // read it when the passes have ended
	opened     chan struct{}
	changing   signal
}

func (a *fakeAnnouncer) Interfaces() []l2.Interface { return *a.interfaces.Load() }
func (a *fakeAnnouncer) Changed() <-chan struct{}   { return a.changing }
func (a *fakeAnnouncer) Ready() <-chan struct{}     { return a.opened }

func (a *fakeAnnouncer) Apply(_ context.Context, d l2.Desired) (l2.Running, error) {
	a.passes.Add(1)
	time.Sleep(a.takes)
	a.desired = d
	a.asked.Store(int64(len(d.Entries)))
	r := runningOn()
	for addr, e := range d.Entries {
		r.Addresses[addr] = e.Interfaces
	}
	if err := a.fail.Load(); err != nil {
		return r, *err
	}
	return r, nil
}

// fakeDetector probes nobody.
type fakeDetector struct {
	targets  map[string]netip.AddrPort
	verdicts map[string]liveness.Verdict
	changing signal
}

func (d *fakeDetector) SetTargets(t map[string]netip.AddrPort) { d.targets = t }
func (d *fakeDetector) Verdicts() map[string]liveness.Verdict  { return d.verdicts }
func (d *fakeDetector) Changed() <-chan struct{}               { return d.changing }

func newRig(t *testing.T) *rig {
	r := &rig{
		t:       t,
		members: &fakeGroup{roster: []members.Member{{Name: "n1"}}, settled: make(chan struct{}), changing: newSignal()},
		wire:    &fakeAnnouncer{opened: make(chan struct{}), changing: newSignal()},
		routers: &fakeRouters{},
	}
	r.wire.interfaces.Store(&[]l2.Interface{})
	r.api = fakeAPI(t, newNode("n1"), newPod("n1", "192.0.2.1"), newPod("n2", "192.0.2.2"), newSecret("key"),
		&v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}).Build()
	r.known = catalogOf(t, newService("web"), newSlice("web", "web-1", endpoint("n1", nil, nil)))
	m, err := newMetrics(nil)
	must(t, err)
	r.passer = &passer{
		o: Options{
			Node: "n1", Namespace: ns, Version: "v1", MembersBind: netip.MustParseAddrPort("192.0.2.1:7947"),
			Client: r.api, Direct: r.api, Log: r.logs.logger(),
		},
		gather: newGatherer(r.api, r.known), dirt: &dirt{}, planner: plan.NewPlanner("n1"), mind: newMind("n1", RestartWindow, holdDown, r.logs.logger()),
		detector: &fakeDetector{changing: newSignal()}, farewell: newFarewell(), last: map[string]netip.Addr{},
		group: r.members, announcer: r.wire, routing: r.routers, metrics: m, changed: newSignal(), ready: new(atomic.Bool), passing: new(kube.Passes),
		keys:      func() []string { return nil },
		dataplane: func() plan.Dataplane { return plan.DataplaneHealthy }, rivals: rivals{},
		report: func(s v1beta1.SpeakerStatusStatus) { r.reports = append(r.reports, s) }, demand: always(),
	}
	return r
}

// always is a demand for each report.
func always() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// during runs the passes while f acts.
func (r *rig) during(f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.run(ctx); close(done) }()
	r.rest()
	f()
	cancel()
	<-done
}

// rest lets the passes that are due happen.
func (r *rig) rest() {
	elapse(2 * restAtMost)
}

// fit makes everything ready to take part.
func (r *rig) fit() {
	r.wire.interfaces.Store(&[]l2.Interface{eth0()})
	close(r.wire.opened)
	close(r.members.settled)
	r.rest()
}

func TestTakesPartInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			if r.ready.Load() || len(r.members.Members()[0].Facts) == 0 {
				t.Error("takes part, or is unknown to the group, before that has settled and sockets are open")
			}
			close(r.members.settled)
			r.rest()
			if r.ready.Load() {
				t.Error("takes part before sockets are open")
			}
			r.wire.interfaces.Store(&[]l2.Interface{eth0()})
			close(r.wire.opened)
			r.rest()
		})
		// The others must have the facts of a speaker that says it is ready.
		told := func(more string) string {
			return `{"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","up":true,"ipv4":true,"ipv6":true,` +
				`"prefixes":["192.0.2.0/24","2001:db8::/64","fe80::/64"]}],` + more + `"dataplane":"healthy"}`
		}
		const starting = `"starting":true,`
		story := []string{
			`{"interfaces":[],` + starting + `"dataplane":"healthy"}`, told(starting), "ready", told(""),
			told(`"claims":[{"epoch":1,"addresses":["192.0.2.100"]}],`),
		}
		if diff := cmp.Diff(story, r.members.story); diff != "" {
			t.Error(diff)
		}
		want := l2.Desired{Entries: map[netip.Addr]l2.Entry{netip.MustParseAddr("192.0.2.100"): {Interfaces: []string{"eth0"}, Monitor: true}}}
		if diff := cmp.Diff(want, r.wire.desired, equalPrefixes); diff != "" {
			t.Error(diff)
		}
		last := r.reports[len(r.reports)-1]
		if last.Plan == nil {
			t.Fatal("it does not tell which plan it carries out")
		}
		last.Plan = nil
		wantStatus := v1beta1.SpeakerStatusStatus{
			Version: "v1", State: "ready", Dataplane: "healthy", Interfaces: statusInterfaces([]l2.Interface{eth0()}),
			Members: v1beta1.SpeakerMembers{Alive: 1, Missing: []string{"n2"}},
			L2: v1beta1.SpeakerL2{
				Count: 1, Addresses: []string{"192.0.2.100"}, Claims: []v1beta1.SpeakerClaim{{Epoch: 1, Addresses: []string{"192.0.2.100"}}},
			},
		}
		if diff := cmp.Diff(wantStatus, last); diff != "" {
			t.Error(diff)
		}
	})
}

// TestStatusIsReadBeforeItIsWritten: it may be all that is left of what this node had.
func TestStatusIsReadBeforeItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		old := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		old.Status.L2.Claims = []v1beta1.SpeakerClaim{{Epoch: 7, Addresses: []string{"192.0.2.100"}}}
		must(t, r.api.Create(t.Context(), old))
		r.during(func() {
			r.wire.interfaces.Store(&[]l2.Interface{eth0()})
			close(r.wire.opened)
			r.rest()
			if len(r.reports) > 0 {
				t.Errorf("it says %+v before the group has settled", r.reports[0])
			}
			close(r.members.settled)
			r.rest()
		})
		for _, s := range r.reports {
			if len(s.L2.Claims) != 1 || s.L2.Claims[0].Epoch != 7 {
				t.Errorf("it says %+v, and had claimed with epoch 7", s.L2)
			}
		}
		if len(r.reports) == 0 {
			t.Error("it says nothing")
		}
	})
}

// TestOwnFacts: a plan is made from what this node has told, not from what the group shows of that a moment later.
func TestOwnFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.members.lags = time.Millisecond
		r.during(func() {
			r.fit()
			elapse(2 * holdDown)
		})
		if own := r.nodes[0]; !own.Steady {
			t.Errorf("after its hold-down it plans with %+v", own)
		}
	})
}

func TestIdleSpeakerMakesNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			elapse(holdDown)
			before := r.wire.passes.Load()
			elapse(time.Hour)
			if n := r.wire.passes.Load() - before; n != 0 {
				t.Errorf("%d passes though nothing has changed", n)
			}
		})
		if len(r.members.peers) != 1 {
			t.Errorf("peers were set %d times though they are the same", len(r.members.peers))
		}
		if len(r.logs.lines) != 2 || r.logs.count("Speaker takes part") != 1 || r.logs.count("Announcing", "192.0.2.100") != 1 {
			t.Errorf("logs:\n%s", r.logs.lines)
		}
	})
}

// TestBurstOfChanges: the caches' changes are gathered while the passer rests from an expensive pass, those of the
// members and the interfaces are not.
func TestBurstOfChanges(t *testing.T) {
	tests := []struct {
		name     string
		raise    func(*rig)
		min, max int64 // passes
	}{
		{"caches", func(r *rig) { r.changed.raise() }, 5, 7},
		{"members", func(r *rig) { r.members.come() }, 90, 110},
		{"members, none of which has changed", func(r *rig) { r.members.changing.raise() }, 0, 0},
		{"interfaces", func(r *rig) { r.wire.changing.raise() }, 90, 110},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.wire.takes = 10 * time.Millisecond
				r.during(func() {
					r.fit()
					second := func() {
						for range 1000 {
							tt.raise(r)
							elapse(time.Millisecond)
						}
					}
					second() // uses up what passes may do after a quiet time
					before := r.wire.passes.Load()
					second()
					if n := r.wire.passes.Load() - before; n < tt.min || n > tt.max {
						t.Errorf("%d passes in a second, want %d to %d", n, tt.min, tt.max)
					}
				})
			})
		})
	}
}

func TestFailingPassIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		broken := errors.New("broken")
		r.wire.fail.Store(&broken)
		r.during(func() {
			r.fit()
			if r.ready.Load() {
				t.Error("takes part though no pass has worked")
			}
			before := r.wire.passes.Load()
			elapse(10 * retryAfter)
			if n := r.wire.passes.Load() - before; n < 8 || n > 12 {
				t.Errorf("%d passes in 10 s", n)
			}
			r.wire.fail.Store(nil)
			elapse(2 * retryAfter)
			if !r.ready.Load() {
				t.Error("does not take part though passes work")
			}
		})
		if n := r.logs.count("Could not complete a pass, trying again", "broken"); n != 1 {
			t.Errorf("%d lines, want 1:\n%s", n, r.logs.lines)
		}
	})
}

// TestUntoldFactsDoNotStopThePlan: the node goes on with what the group knows of it.
func TestUntoldFactsDoNotStopThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			r.members.refuse = errors.New("too long")
			web := types.NamespacedName{Namespace: "default", Name: "web"}
			r.known.drop(web)
			r.dirt.mark(web)
			r.changed.raise()
			r.rest()
		})
		if len(r.wire.desired.Entries) != 0 || r.logs.count("too long") == 0 {
			t.Errorf("still announces %v; logs:\n%s", r.wire.desired.Entries, r.logs.lines)
		}
	})
}

func TestPeersAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			must(t, r.api.Create(context.Background(), newPod("n3", "192.0.2.3")))
			for range 3 {
				r.dirt.markAll()
				r.changed.raise()
				r.rest()
			}
		})
		if n := len(r.members.peers); n != 2 || len(r.members.peers[n-1]) != 3 {
			t.Errorf("peers were set to %v", r.members.peers)
		}
	})
}

func TestLogChanges(t *testing.T) {
	problem := func(r l2.Running, a string, p l2.Problem) l2.Running {
		r.Problems = map[netip.Addr]l2.Problem{netip.MustParseAddr(a): p}
		return r
	}
	tests := []struct {
		name    string
		was, is l2.Running
		want    [][]string // words of each line
	}{
		{"nothing", runningOn("192.0.2.1"), runningOn("192.0.2.1"), nil},
		{"gained", runningOn("192.0.2.1"), runningOn("192.0.2.1", "192.0.2.2", "192.0.2.3"), [][]string{{"Announcing", "192.0.2.2-192.0.2.3"}}},
		{"lost", runningOn("192.0.2.1"), runningOn(), [][]string{{"No longer announcing", "192.0.2.1"}}},
		{"a problem", runningOn(), problem(runningOn(), "192.0.2.1", l2.ProblemNoIPv4), [][]string{{"Cannot announce", "192.0.2.1", "NoIPv4"}}},
		{"the same problem", problem(runningOn(), "192.0.2.1", l2.ProblemNoIPv4), problem(runningOn(), "192.0.2.1", l2.ProblemNoIPv4), nil},
		{"another problem", problem(runningOn(), "192.0.2.1", l2.ProblemNoIPv4), problem(runningOn(), "192.0.2.1", l2.ProblemSocket),
			[][]string{{"Cannot announce", "192.0.2.1", "SocketFailed"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			logs := &logbook{}
			p := &passer{o: Options{Node: "n1", Log: logs.logger()}}
			p.logChanges(tt.was, tt.is)
			if len(logs.lines) != len(tt.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(logs.lines), len(tt.want), logs.lines)
			}
			for _, words := range tt.want {
				if logs.count(words...) != 1 {
					t.Errorf("no line has %q:\n%s", words, logs.lines)
				}
			}
		})
	}
}

// TestTimeThatPassesDuringAPass: what came about while a pass was under way is found by the next.
func TestTimeThatPassesDuringAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			r.fit()
			elapse(time.Until(r.mind.readyAt.Add(holdDown)) - 5*time.Millisecond)
			r.wire.takes = 10 * time.Millisecond
			r.wire.changing.raise() // begins before the hold-down is over, and ends after it
			r.rest()
		})
		if last := r.members.story[len(r.members.story)-1]; !strings.Contains(last, `"steady":true`) {
			t.Errorf("told last: %s", last)
		}
	})
}
