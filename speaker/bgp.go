package speaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/discard"
)

// What routing needs of the engines.
type (
	bgpEngine interface {
		Run(context.Context) error
		Apply(context.Context, bgp.Desired) (bgp.Running, error)
		Changed() <-chan struct{}
	}
	bfdEngine interface {
		Run(context.Context) error
		Apply(context.Context, bfd.Desired) (bfd.Running, error)
		Running() bfd.Running
		Changed() <-chan struct{}
	}
	refuser interface {
		Apply([]netip.Prefix) (discard.Running, error)
	}
)

var (
	_ bgpEngine = (*bgp.Router)(nil)
	_ bfdEngine = (*bfd.Engine)(nil)
	_ refuser   = (*discard.Rules)(nil)
)

// bgpDeadline bounds what an engine may take for an order. A hundred thousand routes take less.
const bgpDeadline = 10 * time.Second

// routing is BGP, with BFD, on this node. Passes hand over what they want and go on; the engines get it from a goroutine of
// routing's own, so that nothing that happens here holds up layer 2, and a path that fails is not kept waiting by a pass.
type routing struct {
	log     logr.Logger
	node    string
	bgp     bgpEngine
	bfd     bfdEngine
	rules   refuser
	desk    *bgpDesk
	changed func() // what report returns has changed
	// shutdown tells whether the machine is going down.
	shutdown func() bool

	wanted atomic.Pointer[bgpWish]
	look   signal
	last   atomic.Pointer[bgpReport]

	failing map[string]string // what went wrong at the last turn, by what it was
}

// bgpReport is how BGP is.
type bgpReport struct {
	sessions bgp.Running
	watched  bfd.Running
	orders   orders
	refused  discard.Running
	// announced are the prefixes that some router may have been told.
	announced map[netip.Prefix]bool
}

func newRouting(
	node string, log logr.Logger, speaks bgpEngine, watches bfdEngine, rules refuser, desk *bgpDesk, changed func(), shutdown func() bool,
) *routing {
	return &routing{
		log: log, node: node, bgp: speaks, bfd: watches, rules: rules, desk: desk, changed: changed, shutdown: shutdown,
		look: newSignal(), failing: map[string]string{},
	}
}

// want hands over what should be said. It never blocks.
func (r *routing) want(w *bgpWish) {
	r.wanted.Store(w)
	r.look.raise()
}

// report returns how BGP was at last look. It must not be changed.
func (r *routing) report() *bgpReport { return r.last.Load() }

// run works until ctx ends. Sessions then end as leave says.
func (r *routing) run(ctx context.Context) error {
	var parts errgroup.Group
	speak, hush := context.WithCancel(context.WithoutCancel(ctx))
	watch, blind := context.WithCancel(context.WithoutCancel(ctx))
	var spoken sync.WaitGroup
	spoken.Add(1)
	parts.Go(func() error { defer spoken.Done(); return r.bgp.Run(speak) })
	parts.Go(func() error { return r.bfd.Run(watch) })
	parts.Go(func() error { r.followKernel(watch); return nil })
	r.loop(ctx)
	r.leave(ctx)
	hush()
	spoken.Wait() // routers that wait for this speaker hear that BFD ends only after BGP has
	blind()
	return parts.Wait()
}

// followKernel watches the default routes, again when that fails.
func (r *routing) followKernel(ctx context.Context) {
	for told := false; ctx.Err() == nil; told = true {
		if err := r.desk.kernel.Run(ctx); err != nil && !told {
			r.log.Error(err, "Cannot follow the default routes, trying again", "node", r.node)
		}
		sleep(ctx, jitter(longPause))
	}
}

func (r *routing) loop(ctx context.Context) {
	for ctx.Err() == nil {
		again := r.turn(ctx)
		var timer <-chan time.Time
		if !again.IsZero() {
			timer = time.After(time.Until(again))
		}
		select {
		case <-ctx.Done():
		case <-r.look:
		case <-r.bgp.Changed():
		case <-r.bfd.Changed():
		case <-r.desk.kernel.Changed():
		case <-timer:
		}
	}
}

// turn has the engines do what is wanted, and says when to look again at the latest.
func (r *routing) turn(ctx context.Context) (again time.Time) {
	w := r.wanted.Load()
	if w == nil {
		return time.Time{} // no pass has been made: a router that waits for this speaker must not be told half of the routes
	}
	before := cmp.Or(r.report(), &bgpReport{})
	o := r.desk.order(time.Now(), w, before.sessions, r.bfd.Running())
	return r.carryOut(ctx, before, o)
}

// carryOut gives each engine its order. One that fails does not keep another from its own.
func (r *routing) carryOut(ctx context.Context, before *bgpReport, o orders) (again time.Time) {
	ctx, cancel := context.WithTimeout(ctx, bgpDeadline)
	defer cancel()
	now := bgpReport{orders: o, sessions: before.sessions, announced: announcedBy(o.bgp)}
	again = o.again
	var errBFD, errBGP, errRules error
	now.watched, errBFD = r.bfd.Apply(ctx, o.bfd)
	sessions, errBGP := r.bgp.Apply(ctx, o.bgp)
	if sessions.Peers != nil {
		now.sessions = sessions
	}
	if errBGP != nil {
		maps.Copy(now.announced, before.announced)
	}
	now.refused, errRules = r.rules.Apply(o.refuse)
	for what, err := range map[string]error{"bfd": errBFD, "bgp": errBGP, "discard": errRules} {
		r.complain(ctx, what, err)
		if err != nil {
			again = time.Now().Add(retryAfter)
		}
	}
	r.last.Store(&now)
	if !alike(before, &now) {
		r.changed()
	}
	return again
}

// complain logs what goes wrong, once.
func (r *routing) complain(ctx context.Context, what string, err error) {
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		r.failing[what] = ""
		return
	}
	if r.failing[what] != err.Error() {
		r.failing[what] = err.Error()
		r.log.Error(err, "BGP cannot do all that it should, trying again", "node", r.node, "reason", what)
	}
}

// announcedBy lists the prefixes of an order that routers are told of.
func announcedBy(d bgp.Desired) map[netip.Prefix]bool {
	all := map[netip.Prefix]bool{}
	for _, p := range d.Peers {
		if p.Mode == bgp.Down || p.Mode == bgp.Waiting {
			continue
		}
		for prefix := range p.Routes {
			all[prefix] = true
		}
	}
	return all
}

// leave ends what should not end without a word. A router that keeps the routes while this speaker restarts is told
// nothing, unless the machine goes down. The others are told to prefer other nodes, which takes them a moment; the sessions themselves end with the engine.
func (r *routing) leave(ctx context.Context) {
	now := r.report()
	if now == nil {
		return
	}
	d, waits, off := now.orders.bgp, false, r.shutdown()
	peers := maps.Clone(d.Peers)
	for name, p := range peers {
		s := now.sessions.Peers[name]
		keeps := !off && p.Mode == bgp.Up && s.Graceful != 0 && s.Graceful == s.Families
		if keeps || s.State != bgp.Established || p.Mode == bgp.Down || p.Mode == bgp.Waiting {
			continue
		}
		p.Mode, p.Reason = bgp.Draining, cmp.Or(p.Reason, "the speaker stops")
		peers[name] = p
		waits = waits || len(p.Routes) > 0
	}
	if !waits {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bgpDeadline)
	defer cancel()
	if _, err := r.bgp.Apply(ctx, bgp.Desired{Peers: peers}); err != nil {
		r.complain(ctx, "bgp", fmt.Errorf("draining: %w", err))
		return
	}
	sleep(ctx, r.desk.drain) // others wait for this node's addresses meanwhile, and not for ever
}

// established names the peers with a session, sorted.
func (r *bgpReport) established() []string {
	if r == nil {
		return nil
	}
	var names []string
	for name, s := range r.sessions.Peers {
		if s.State == bgp.Established {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// told are the prefixes that routers may have been told.
func (r *bgpReport) told() map[netip.Prefix]bool {
	if r == nil {
		return nil
	}
	return r.announced
}

// lingers tells whether a router may still be told of the address for nobody: by a prefix that is not wanted any more.
func (r *bgpReport) lingers(a netip.Addr, wanted func(netip.Prefix) bool) bool {
	if r == nil {
		return false
	}
	for p := range r.announced {
		if p.Contains(a) && !wanted(p) {
			return true
		}
	}
	return false
}
