// Package bgp announces routes to routers. It takes none from them.
//
// It is told the whole of what to say to whom (Desired) and reports what truly is said (Running). It decides nothing, and
// knows nothing of Services or of other nodes.
//
//	Apply ──► owner ──► peer ──────────────► GoBGP server, the peer's own
//	                      │                     ▲ loopback
//	                      └──► link ◄───────────┘
//	                             ▲
//	                             └── TCP ──► router
//
// GoBGP keeps the routes, packs them into UPDATEs and runs the session's timers. It does not survive every message that a
// router may send, and it keeps every route that it hears; so it never hears a router. The link, between the two, speaks
// TCP with the router and lets through what package wire has understood.
//
// The owner, Run's own goroutine, holds the peers. Each peer has a goroutine that holds its state, and one for the link
// that waits for the network.
package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrStopped is returned by Apply once Run has ended.
var ErrStopped = errors.New("the BGP router has stopped")

// Options for New.
type Options struct {
	Log logr.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Router announces routes. Its methods may be called from any goroutine.
type Router struct {
	env      *environment
	requests chan request
	changed  chan struct{}
	done     chan struct{}
}

type request struct {
	ctx     context.Context
	desired Desired
	reply   chan reply // has room for the one reply
}

type reply struct {
	running Running
	err     error
}

// New returns a router that does nothing until Run. It fails on metrics that are registered already.
func New(o Options) (*Router, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	r := &Router{requests: make(chan request), changed: make(chan struct{}, 1), done: make(chan struct{})}
	r.env = &environment{log: o.Log, metrics: m, doors: newDoors(), changed: r.poke}
	return r, nil
}

func (r *Router) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Apply makes d the whole of what is said and returns what truly is. It waits until the routes are on their way, not until
// sessions are up. d must not be changed afterwards. Apply waits for Run. The error says which peers could not be taken on;
// the others have been. It is ErrStopped when Run has ended, and ctx's when that ends first.
func (r *Router) Apply(ctx context.Context, d Desired) (Running, error) {
	req := request{ctx, d, make(chan reply, 1)}
	select {
	case r.requests <- req:
	case <-r.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
	select {
	case a := <-req.reply:
		return a.running, a.err
	case <-r.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
}

// Changed receives, coalesced, when a session came up or went down, or its troubles changed: what Apply last returned no
// longer holds.
func (r *Router) Changed() <-chan struct{} { return r.changed }

// Run works until ctx ends. It then closes the sessions: without a word where the router keeps the routes over a restart and
// the peer is not draining, else with the routes withdrawn and a shutdown message. It must be called once.
//
// GoBGP's servers cannot be ended: their goroutines, idle, outlive Run.
func (r *Router) Run(ctx context.Context) error {
	defer close(r.done)
	var all sync.WaitGroup
	doors, stop := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() { r.env.doors.run(doors) })
	o := &owner{env: r.env, peers: map[string]*peer{}, gone: make(chan *peer)}
	o.loop(ctx, r.requests)
	o.all.Wait()
	stop()
	all.Wait()
	return nil
}

// owner holds the peers and the servers that no peer has.
type owner struct {
	env   *environment
	peers map[string]*peer
	// all are the goroutines of the peers, those that are leaving included.
	all   sync.WaitGroup
	gone  chan *peer
	spare []*daemon
	made  int
}

func (o *owner) loop(ctx context.Context, requests <-chan request) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-o.gone:
			o.free(p)
		case req := <-requests:
			err := o.apply(ctx, req.desired)
			req.reply <- reply{o.running(), err}
		}
	}
}

// apply passes the wishes on, to all peers at once, and waits until each has heard.
func (o *owner) apply(ctx context.Context, d Desired) error {
	var errs []error
	var told []telling
	for _, name := range slices.Sorted(maps.Keys(o.peers)) {
		if _, wanted := d.Peers[name]; !wanted {
			p := o.peers[name]
			delete(o.peers, name)
			told = append(told, tell(p, wish{leave: true}))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Peers)) {
		p, err := o.peer(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("taking on peer %s: %w", name, err))
			continue
		}
		told = append(told, tell(p, wish{peer: d.Peers[name]}))
	}
	for _, t := range told {
		select {
		case <-t.heard:
		case <-t.gone:
		}
	}
	o.env.doors.keep(ctx, listening(d))
	return errors.Join(errs...)
}

// telling is a wish that has been handed to a peer: it is heard, or the peer is gone.
type telling struct{ heard, gone <-chan struct{} }

// tell hands a wish to a peer. Its goroutine may be busy, with a session that begins or ends; the other peers do not wait for it.
func tell(p *peer, w wish) telling {
	heard := make(chan struct{})
	w.heard = heard
	p.wants <- w // has room, for the wish before has been heard
	return telling{heard, p.done}
}

// peer returns a running peer.
func (o *owner) peer(ctx context.Context, name string) (*peer, error) {
	if p := o.peers[name]; p != nil {
		return p, nil
	}
	d, err := o.daemon(ctx)
	if err != nil {
		return nil, err
	}
	p := newPeer(name, o.env, d)
	o.peers[name] = p
	o.all.Go(func() {
		p.run(ctx)
		select {
		case o.gone <- p:
		case <-ctx.Done():
		}
	})
	return p, nil
}

// batch is how many servers are started at once: more than a node has routers (see newDaemon). One costs 40 kB.
const batch = 64

// daemon returns a server that no peer has.
func (o *owner) daemon(ctx context.Context) (*daemon, error) {
	if len(o.spare) == 0 {
		for range batch {
			d, err := newDaemon(ctx, o.made, o.env.log)
			o.made++
			if err != nil {
				return nil, err
			}
			o.spare = append(o.spare, d)
		}
	}
	d := o.spare[0]
	o.spare = o.spare[1:]
	return d, nil
}

// free keeps the server of a peer that has gone.
func (o *owner) free(p *peer) {
	o.spare = append(o.spare, p.d)
	if o.peers[p.name] == nil {
		o.env.metrics.forget(p.name)
	}
}

func (o *owner) running() Running {
	r := Running{Peers: make(map[string]Status, len(o.peers))}
	for name, p := range o.peers {
		r.Peers[name] = *p.status.Load()
	}
	return r
}

func listening(d Desired) []Session {
	var all []Session
	for _, p := range d.Peers {
		if s := p.Session.settings(); s.Listen && s.check() == nil {
			all = append(all, s)
		}
	}
	return all
}
