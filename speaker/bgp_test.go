package speaker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
	"github.com/belfry-lb/belfry/speaker/discard"
)

// fakeBGP has every session up that is wanted, and remembers what it was told.
type fakeBGP struct {
	mu      sync.Mutex
	desired []bgp.Desired
	err     error
	// graceful are the families that routers keep.
	graceful wire.Family
	changed  signal
	ended    time.Time
}

func (f *fakeBGP) Run(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = time.Now()
	return nil
}

func (f *fakeBGP) Apply(_ context.Context, d bgp.Desired) (bgp.Running, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return bgp.Running{}, f.err
	}
	f.desired = append(f.desired, d)
	r := bgp.Running{Peers: map[string]bgp.Status{}}
	for name, p := range d.Peers {
		s := bgp.Status{State: bgp.Idle, Families: wire.IPv4, Graceful: f.graceful & wire.IPv4}
		if p.Mode != bgp.Down {
			s.State, s.Announced = bgp.Established, len(p.Routes)
		}
		r.Peers[name] = s
	}
	return r, nil
}

func (f *fakeBGP) Changed() <-chan struct{} { return f.changed }

func (f *fakeBGP) told() []bgp.Desired {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.desired)
}

type fakeBFD struct {
	mu      sync.Mutex
	running bfd.Running
	err     error
	changed signal
	ended   time.Time
}

func (f *fakeBFD) Run(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = time.Now()
	return nil
}

func (f *fakeBFD) Apply(context.Context, bfd.Desired) (bfd.Running, error) { return f.Running(), f.err }

func (f *fakeBFD) Running() bfd.Running {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

func (f *fakeBFD) Changed() <-chan struct{} { return f.changed }

func (f *fakeBFD) is(path bfd.Path, s bfd.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = bfd.Running{Sessions: map[bfd.Path]bfd.Status{path: s}}
	f.changed.raise()
}

type fakeRules struct {
	mu   sync.Mutex
	last []netip.Prefix
}

func (f *fakeRules) Apply(p []netip.Prefix) (discard.Running, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = p
	return discard.Running{Prefixes: p}, nil
}

// node is routing with fake engines, in a bubble with a clock of its own.
type routingNode struct {
	*routing
	bgp   *fakeBGP
	bfd   *fakeBFD
	rules *fakeRules
	woken int
	stop  func()
}

func newRoutingNode(t *testing.T) *routingNode {
	n := &routingNode{bgp: &fakeBGP{changed: newSignal()}, bfd: &fakeBFD{changed: newSignal()}, rules: &fakeRules{}}
	kernel := fakeKernel{changed: newSignal()}
	n.routing = newRouting("n1", logr.Discard(), n.bgp, n.bfd, n.rules, newBGPDesk(500*time.Millisecond, 2*time.Second, kernel), func() { n.woken++ }, func() bool { return false })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	n.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return n
}

// turnCounter ends what turns too often.
type turnCounter struct {
	turns int
	stop  func()
}

func (c *turnCounter) Apply([]netip.Prefix) (discard.Running, error) {
	if c.turns++; c.turns > 100 {
		c.stop()
	}
	return discard.Running{}, nil
}

// TestComesToRest: with the real engines, a wish is carried out once, and again when something happens.
func TestComesToRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		speaks, err := bgp.New(bgp.Options{Log: logr.Discard()})
		must(t, err)
		watches, err := bfd.New(bfd.Options{Log: logr.Discard()})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		rules := &turnCounter{stop: stop}
		desk := newBGPDesk(time.Second, time.Second, fakeKernel{changed: newSignal()})
		r := newRouting("n1", logr.Discard(), speaks, watches, rules, desk, func() {}, func() bool { return false })
		ended := make(chan error, 1)
		go func() { ended <- r.run(ctx) }()
		r.want(&bgpWish{})
		elapse(time.Minute)
		stop()
		must(t, <-ended)
		if rules.turns > 3 {
			t.Errorf("%d turns in a minute in which nothing happened", rules.turns)
		}
	})
}

func TestNothingIsSaidBeforeThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRoutingNode(t)
		synctest.Wait()
		n.bgp.changed.raise()
		n.bfd.changed.raise()
		synctest.Wait()
		if len(n.bgp.told()) != 0 {
			t.Error("routers were told before it was known what of")
		}
		n.want(wishOf(peerWish{session: ebgp(), routes: routesOf(vipA)}))
		synctest.Wait()
		if told := n.bgp.told(); len(told) != 1 || len(told[0].Peers["r"].Routes) != 1 || n.woken != 1 {
			t.Errorf("told %v, woken %d times", told, n.woken)
		}
		n.bgp.changed.raise() // nothing has changed, in truth
		synctest.Wait()
		if n.woken != 1 {
			t.Errorf("woken %d times", n.woken)
		}
		n.stop()
	})
}

// TestEnginesAreApart: one that fails does not keep the others from their orders, and is tried again.
func TestEnginesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRoutingNode(t)
		n.bfd.err, n.bgp.err = errors.New("no socket"), errors.New("no server")
		w := wishOf(peerWish{session: ebgp(), routes: routesOf(vipA)})
		w.refuse = []netip.Prefix{vipA}
		n.want(w)
		synctest.Wait()
		if n.rules.last == nil {
			t.Error("the rules had to wait")
		}
		n.bgp.mu.Lock()
		n.bgp.err = nil
		n.bgp.mu.Unlock()
		elapse(retryAfter + time.Millisecond)
		synctest.Wait()
		if len(n.bgp.told()) == 0 {
			t.Error("not tried again, or kept waiting by BFD")
		}
		n.stop()
	})
}

// TestWhatRoutersMayKnow: an address counts as announced until the engine has taken it back.
func TestWhatRoutersMayKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRoutingNode(t)
		nobody := func(netip.Prefix) bool { return false }
		knows := func() bool { synctest.Wait(); return n.report().lingers(vipA.Addr(), nobody) }
		if knows() {
			t.Error("known before it was said")
		}
		n.want(wishOf(peerWish{session: ebgp(), routes: routesOf(vipA)}))
		if !knows() {
			t.Error("unknown after it was said")
		}
		n.bgp.mu.Lock()
		n.bgp.err = errors.New("busy")
		n.bgp.mu.Unlock()
		n.want(wishOf(peerWish{session: ebgp()}))
		if !knows() {
			t.Error("taken for withdrawn though the engine failed")
		}
		n.bgp.mu.Lock()
		n.bgp.err = nil
		n.bgp.mu.Unlock()
		elapse(retryAfter + time.Millisecond)
		if knows() {
			t.Error("still known")
		}
		n.stop()
	})
}

// TestPathFailureIsNotKeptWaiting: no pass is needed between BFD and BGP.
func TestPathFailureIsNotKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRoutingNode(t)
		n.want(wishOf(peerWish{session: ebgp(), bfd: fast}))
		synctest.Wait()
		path := bfd.Path{Peer: routerAddr}
		n.bfd.is(path, bfd.Status{State: bfd.Up, RemoteState: bfd.Up})
		synctest.Wait()
		n.bfd.is(path, bfd.Status{State: bfd.Down, RemoteState: bfd.Up, Cause: bfd.CauseDetectionExpired, Silence: 300 * time.Millisecond, Downs: 1})
		synctest.Wait()
		told := n.bgp.told()
		if p := told[len(told)-1].Peers["r"]; p.Failures != 1 || p.Failure != "BFD: detection time expired after 300ms" {
			t.Errorf("told %+v", p)
		}
		n.stop()
	})
}

func TestEnd(t *testing.T) {
	for _, tc := range []struct {
		name     string
		graceful wire.Family
		leaving  string
		shutdown bool
		mode     bgp.Mode
		takes    time.Duration
	}{
		{"the router keeps the routes", wire.IPv4, "", false, bgp.Up, 0},
		{"the router does not", 0, "", false, bgp.Draining, 2 * time.Second},
		{"the machine goes down", wire.IPv4, "", true, bgp.Draining, 2 * time.Second},
		{"while it is drained", wire.IPv4, "node n1 is being drained", false, bgp.Draining, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newRoutingNode(t)
				n.bgp.graceful = tc.graceful
				n.shutdown = func() bool { return tc.shutdown }
				n.want(wishOf(peerWish{session: ebgp(), routes: routesOf(vipA)}))
				synctest.Wait()
				if tc.leaving != "" {
					w := wishOf(peerWish{session: ebgp()})
					w.leaving = tc.leaving
					n.want(w)
					synctest.Wait()
				}
				began := time.Now()
				n.stop()
				told := n.bgp.told()
				if p := told[len(told)-1].Peers["r"]; p.Mode != tc.mode || len(p.Routes) != 1 {
					t.Errorf("the last order is mode %d with %d routes, want mode %d", p.Mode, len(p.Routes), tc.mode)
				}
				if took := n.bgp.ended.Sub(began); took != tc.takes {
					t.Errorf("took %s, want %s", took, tc.takes)
				}
				if n.bfd.ended.Before(n.bgp.ended) {
					t.Error("BFD ended before BGP: routers take that for a failure")
				}
			})
		})
	}
}
