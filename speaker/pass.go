package speaker

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

const (
	// retryAfter is how soon a pass that failed is tried again without being asked.
	retryAfter = time.Second
	// Changes of the caches may take one part in share of the time, but are never put off for longer than restAtMost.
	share      = 10
	restAtMost = 100 * time.Millisecond
)

// group is what a pass needs of the other speakers.
type group interface {
	Members() []members.Member
	SetPeers(map[string]netip.AddrPort)
	SetState(members.State)
	Publish(facts []byte) error
	Changed() <-chan struct{}
	Settled() <-chan struct{}
}

// announcer is what a pass needs of layer 2.
type announcer interface {
	Interfaces() []l2.Interface
	Apply(context.Context, l2.Desired) (l2.Running, error)
	Changed() <-chan struct{}
	Ready() <-chan struct{}
}

// detector is what a pass needs of the probes.
type detector interface {
	SetTargets(map[string]netip.AddrPort)
	Verdicts() map[string]liveness.Verdict
	Changed() <-chan struct{}
}

var (
	_ group     = (*members.Group)(nil)
	_ announcer = (*l2.Announcer)(nil)
	_ detector  = (*liveness.Detector)(nil)
)

// passer runs one pass after another, each when something has changed since the last.
type passer struct {
	o         Options
	gather    gatherer
	group     group
	announcer announcer
	detector  detector
	report    func(v1beta1.SpeakerStatusStatus)
	metrics   metrics
	dataplane func() plan.Dataplane // of this node
	changed   signal
	ready     *atomic.Bool
	farewell  *farewell

	// What the last pass left behind.
	mind    *mind
	key     []byte
	peers   map[string]netip.AddrPort
	last    map[string]netip.Addr // where members were that may be gone
	told    []byte                // to the group
	state   members.State
	settled bool // the join window is over
	opened  bool // sockets are open
	recalls bool // claims were taken up from the SpeakerStatus
	desired l2.Desired
	running l2.Running
	rivals  rivals
	failed  bool
}

func (p *passer) run(ctx context.Context) {
	for ctx.Err() == nil {
		fit := p.settled && p.opened
		began := time.Now()
		err := p.pass(ctx)
		took := time.Since(began)
		p.metrics.pass.Observe(took.Seconds())
		if err == nil && fit {
			p.takePart()
		}
		p.wait(ctx, p.judge(ctx, err), min((share-1)*took, restAtMost))
	}
}

// wait returns when it is time for the next pass. Members, probes and interfaces are never kept waiting; changes of the
// caches, which come by the hundred, are gathered while it rests.
func (p *passer) wait(ctx context.Context, retry <-chan time.Time, rest time.Duration) {
	var changed, due <-chan time.Time
	var caches <-chan struct{}
	changed = time.After(rest)
	now := time.Now()
	if at := p.mind.next(now); !at.IsZero() {
		due = time.After(at.Sub(now))
	}
	settled, opened := p.group.Settled(), p.announcer.Ready()
	if p.settled {
		settled = nil
	}
	if p.opened {
		opened = nil
	}
	for {
		select {
		case <-changed:
			changed, caches = nil, p.changed
			continue
		case <-caches:
		case <-retry:
		case <-due:
		case <-p.group.Changed():
		case <-p.detector.Changed():
		case <-p.announcer.Changed():
		case <-p.farewell.asked:
		case <-settled:
			p.settled = true
		case <-opened:
			p.opened = true
		case <-ctx.Done():
		}
		return
	}
}

// judge says when to try again, if at all. It logs the first failure in a row.
func (p *passer) judge(ctx context.Context, err error) (retry <-chan time.Time) {
	if err == nil || ctx.Err() != nil {
		p.failed = false
		return nil
	}
	p.metrics.failures.Inc()
	if p.failed {
		p.o.Log.V(1).Info("Could not complete a pass again", "node", p.o.Node, "reason", err.Error())
	} else {
		p.o.Log.Error(err, "Could not complete a pass, trying again", "node", p.o.Node)
	}
	p.failed = true
	return time.After(retryAfter)
}

// takePart tells the group that this node may acquire addresses from now on. The pass before has published its facts.
func (p *passer) takePart() {
	if p.ready.Load() {
		return
	}
	p.o.Log.Info("Speaker takes part", "node", p.o.Node)
	p.metrics.ready.Set(1)
	p.mind.readyAt = time.Now()
	p.become(members.Ready)
	p.ready.Store(true)
}

func (p *passer) become(s members.State) {
	if p.state != s {
		p.state = s
		p.group.SetState(s)
	}
}

// pass gathers, plans, applies and reports, once. Facts that could not be told do not stop it.
func (p *passer) pass(ctx context.Context) error {
	now, interfaces := time.Now(), p.announcer.Interfaces()
	untold := errors.Join(p.tell(now, interfaces), p.look(ctx))
	if !p.opened {
		return untold // it could not answer, so it must not say that it does
	}
	roster := p.group.Members()
	w, err := p.world(ctx, now, roster)
	if err != nil {
		return errors.Join(untold, err)
	}
	should := plan.Make(w, p.o.Node)
	if err := p.apply(ctx, should, w.Nodes); err != nil {
		return errors.Join(untold, err)
	}
	should.Prove(func(a netip.Addr) bool { return p.running.Addresses[a] != nil })
	if p.mind.learn(now, should) {
		untold = errors.Join(untold, p.tell(now, interfaces))
	}
	p.probe(should, roster)
	p.farewell.see(should)
	p.report(bounded(v1beta1.SpeakerStatusStatus{
		Version:    p.o.Version,
		State:      p.state.String(),
		Dataplane:  string(p.dataplane()),
		Interfaces: statusInterfaces(interfaces),
		Members:    v1beta1.SpeakerMembers{Alive: int32(len(roster)), Missing: missing(p.peers, roster)},
		L2:         statusL2(p.running, p.desired, epochs(should.Claims), p.rivals),
		Withdrawn:  p.withdrawn(ctx, should),
	}))
	return untold
}

// world gathers all facts.
func (p *passer) world(ctx context.Context, now time.Time, roster []members.Member) (w plan.World, err error) {
	if w.Config, err = p.gather.config(ctx); err != nil {
		return w, err
	}
	if w.Services, err = p.gather.services(ctx); err != nil {
		return w, err
	}
	cluster, err := p.gather.nodes(ctx)
	if err != nil {
		return w, err
	}
	p.recall(ctx)
	p.mind.leaving = p.farewell.drains()
	w.Nodes = p.mind.nodes(now, cluster, roster)
	plan.Settle(w.Nodes, p.o.NodeRules)
	p.leave(w.Nodes)
	w.Own = plan.Own{Overdue: p.mind.overdue(now)}
	return w, nil
}

// leave tells the others that this node gives its addresses away, and when it does not any more.
func (p *passer) leave(nodes []plan.Node) {
	draining := slices.ContainsFunc(nodes, func(n plan.Node) bool { return n.Name == p.o.Node && n.Draining })
	switch {
	case draining:
		p.become(members.Draining)
	case p.ready.Load():
		p.become(members.Ready)
	}
}

// tell gives the group what it must know of this node.
func (p *passer) tell(now time.Time, interfaces []l2.Interface) error {
	mine, err := p.mind.tells(now, interfacesOf(interfaces), p.dataplane(), p.detector.Verdicts()).encode()
	if err != nil || bytes.Equal(mine, p.told) {
		return err
	}
	if err := p.group.Publish(mine); err != nil {
		return err
	}
	p.told = mine
	return nil
}

// look tells the group whom to look for.
func (p *passer) look(ctx context.Context) error {
	should, err := peers(ctx, p.o.Client, p.o.Namespace, p.o.MembersBind)
	if err != nil {
		return err
	}
	if p.peers == nil || !maps.Equal(p.peers, should) {
		p.group.SetPeers(should)
		p.peers = should
	}
	p.compareKey(ctx)
	return nil
}

// compareKey tells once when the Secret does not hold the key in use any more.
func (p *passer) compareKey(ctx context.Context) {
	key, err := gossipKey(ctx, p.o.Client, p.o.Namespace)
	if err == nil && !bytes.Equal(key, p.key) {
		p.o.Log.V(1).Info("The gossip key has changed; speakers use the new one after their restart", "node", p.o.Node)
		p.key = key
	}
}
