package members

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

// leaveTimeout bounds the last words of a member that stops.
const leaveTimeout = time.Second

// Member is one speaker that is alive.
type Member struct {
	Name    string
	Addr    netip.Addr
	State   State
	Version string
	// Facts are the last complete ones that arrived, nil if there are none.
	// They are shared: do not change them.
	Facts []byte
	// Current is false while the member has published facts newer than Facts.
	Current bool
	// Joins counts how often this node has seen the member come, the first time included. It grows when a member is back
	// that was taken for dead or had left, and on both sides when a partition heals: time to put the neighbours' caches
	// right.
	Joins uint64
}

// StopMode says how Run ends.
type StopMode uint32

const (
	// StopLeave tells the others, who drop this member at once.
	StopLeave StopMode = iota
	// StopVanish tells the others the last state that was set and no more;
	// they find out by their failure detectors.
	StopVanish
)

// Group is this node's membership. Make it with New; all methods may be called
// from any goroutine, before and during Run.
type Group struct {
	opts    Options
	timing  timing
	metrics *metrics

	// What the callers want. Each is replaced as a whole; the engine looks.
	mine  atomic.Pointer[own]
	keys  atomic.Pointer[keys]
	peers atomic.Pointer[map[string]netip.AddrPort]
	stop  atomic.Uint32

	// What the callers see.
	seen    atomic.Pointer[view]
	changed signal
	settled chan struct{}

	registrar *registrar
	delegate  *delegate
	wake      signal // the engine's
	wakeJoin  signal // the joiner's
	started   atomic.Bool
}

// own is what this member says of itself.
type own struct {
	state State
	stamp stamp
	facts []byte
	first []string // members who are told directly
}

// New checks the options and registers the metrics; it starts nothing and
// opens no socket.
func New(o Options) (*Group, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("making member %s: %w", o.Name, err)
	}
	t, ok := timings(o.Profile)
	if !ok {
		return nil, fmt.Errorf("making member %s: no profile is called %q", o.Name, o.Profile)
	}
	ks, err := deriveKeys(o.Key)
	if err != nil {
		return nil, fmt.Errorf("making member %s: %w", o.Name, err)
	}
	o.Key = nil // only the derived key is needed from here on
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("making member %s: %w", o.Name, err)
	}
	return newGroup(o, t, ks, m), nil
}

func newGroup(o Options, t timing, ks keys, m *metrics) *Group {
	g := &Group{
		opts: o, timing: t, metrics: m,
		changed: newSignal(), wake: newSignal(), wakeJoin: newSignal(),
		settled: make(chan struct{}),
	}
	g.keys.Store(&ks)
	g.mine.Store(&own{stamp: stamp{version: version{incarnation: uint64(time.Now().UnixNano())}}})
	g.seen.Store(&view{})
	g.registrar = newRegistrar(m.change, func() { g.wake.raise(); g.wakeJoin.raise() })
	g.delegate = newDelegate(g)
	return g
}

// Run takes part in the group until the context ends, then stops as SetStopMode
// says. It fails if the address cannot be bound, and if it is called twice.
func (g *Group) Run(ctx context.Context) error {
	if !g.started.CompareAndSwap(false, true) {
		return errors.New("running the group: it ran before")
	}
	live, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	list, ring, err := g.open(live)
	if err != nil {
		return fmt.Errorf("running the group on %s: %w", g.opts.Bind, err)
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		newEngine(g, list, ring).run(ctx)
		g.leave(list)
		cut()
		return nil
	})
	tasks.Go(func() error { newJoiner(g, list).run(ctx); return nil })
	for range senders {
		tasks.Go(func() error { g.delegate.serve(ctx, g, list); return nil })
	}
	return errors.Join(tasks.Wait(), list.Shutdown())
}

func (g *Group) open(live context.Context) (*memberlist.Memberlist, *memberlist.Keyring, error) {
	ring, err := g.keys.Load().newRing()
	if err != nil {
		return nil, nil, err
	}
	c := g.opts.config(g.timing)
	c.Logger = newLogger(g.opts.Log)
	c.Keyring, c.Delegate, c.Events = ring, g.delegate, g.registrar
	if c.Transport = g.opts.transport; g.opts.transport == nil {
		if c.Transport, err = listen(live, g.opts.Bind, c.Logger); err != nil {
			return nil, nil, err
		}
	}
	g.delegate.setMeta(g.meta())
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, nil, errors.Join(err, c.Transport.Shutdown())
	}
	return list, ring, nil
}

// leave says the last words. Failing to is no error: nobody may be there.
func (g *Group) leave(list *memberlist.Memberlist) {
	var err error
	g.delegate.setMeta(g.meta())
	if StopMode(g.stop.Load()) == StopVanish {
		err = list.UpdateNode(leaveTimeout)
	} else {
		err = list.Leave(leaveTimeout)
	}
	if err != nil {
		g.opts.Log.V(1).Info("no member may have heard that this one stops", "reason", err.Error())
	}
}

func (g *Group) meta() []byte {
	mine := g.mine.Load()
	return meta{state: mine.state, software: g.opts.Version, facts: mine.stamp}.encode()
}

// SetPeers tells where the other speakers should be, by node name; this node
// may be among them. Peers that are not members are joined, again and again
// with growing pauses. Members that were lost since the last call are too,
// named or not. Port 0 means DefaultPort.
func (g *Group) SetPeers(peers map[string]netip.AddrPort) {
	clean := maps.Clone(peers)
	delete(clean, g.opts.Name)
	maps.DeleteFunc(clean, func(_ string, a netip.AddrPort) bool { return !a.Addr().IsValid() })
	for name, addr := range clean {
		clean[name] = withPort(addr)
	}
	g.peers.Store(&clean)
	g.wake.raise()
	g.wakeJoin.raise()
}

// SetState tells the others the state of this member.
func (g *Group) SetState(s State) {
	g.change(func(o own) (own, bool) {
		changed := o.state != s
		o.state = s
		return o, changed
	})
}

// Publish gives the facts of this member to the others, in place of those
// before. It fails above MaxFacts bytes. Equal facts cost nothing. Gossip takes
// a rhythm or two of the profile to spread them; members named as first are
// told at once besides.
func (g *Group) Publish(facts []byte, first ...string) error {
	if len(facts) > MaxFacts {
		return fmt.Errorf("publishing facts: %d bytes are more than %d", len(facts), MaxFacts)
	}
	facts = bytes.Clone(facts)
	g.change(func(o own) (own, bool) {
		if o.stamp.sequence > 0 && bytes.Equal(o.facts, facts) {
			return o, false
		}
		next := version{o.stamp.incarnation, o.stamp.sequence + 1}
		return own{state: o.state, facts: facts, stamp: newStamp(next, facts), first: first}, true
	})
	return nil
}

func (g *Group) change(f func(own) (own, bool)) {
	for {
		old := g.mine.Load()
		next, changed := f(*old)
		if !changed {
			return
		}
		if g.mine.CompareAndSwap(old, &next) {
			g.wake.raise()
			return
		}
	}
}

// SetKeys replaces the shared secrets: the primary encrypts, all of them
// decrypt. A rotation without an outage takes three calls on every member, each
// step on all of them before the next: (old, new), (new, old), (new).
func (g *Group) SetKeys(primary []byte, others ...[]byte) error {
	ks, err := deriveKeys(append([][]byte{primary}, others...)...)
	if err != nil {
		return fmt.Errorf("setting keys: %w", err)
	}
	g.keys.Store(&ks)
	g.wake.raise()
	return nil
}

// SetStopMode chooses how Run ends when its context does; StopLeave if it is
// never called.
func (g *Group) SetStopMode(m StopMode) { g.stop.Store(uint32(m)) }

// Members are all speakers alive, this one included, sorted by name: a snapshot
// that never changes. It is empty before Run.
func (g *Group) Members() []Member { return slices.Clip(g.seen.Load().members) }

// Changed gets a value after Members has changed, one for any number of
// changes. It is for one receiver.
func (g *Group) Changed() <-chan struct{} { return g.changed }

// Settled is closed when the join window is over: all peers of SetPeers are
// members and all members' facts are here, or JoinWindow has passed since the
// first SetPeers. Before that, a speaker must not acquire addresses. If nobody
// calls SetPeers it stays open.
func (g *Group) Settled() <-chan struct{} { return g.settled }

// signal says that something happened, once for any number of times.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}
