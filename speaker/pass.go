package speaker

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
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

// routers is what a pass needs of BGP.
type routers interface {
	want(*bgpWish)
	report() *bgpReport
}

var (
	_ group     = (*members.Group)(nil)
	_ announcer = (*l2.Announcer)(nil)
	_ routers   = (*routing)(nil)
)

// passer runs one pass after another, each when something has changed since the last.
type passer struct {
	o         Options
	gather    gatherer
	group     group
	announcer announcer
	routing   routers
	report    func(v1beta1.SpeakerStatusStatus)
	metrics   metrics
	dataplane func() plan.Dataplane // of this node
	changed   signal
	ready     *atomic.Bool

	// What the last pass left behind.
	key     []byte
	peers   map[string]netip.AddrPort
	desired l2.Desired
	running l2.Running
	rivals  rivals
	failed  bool
	bgp     plan.BGPPlan
}

func (p *passer) run(ctx context.Context) {
	settled, opened := p.group.Settled(), p.announcer.Ready()
	for ctx.Err() == nil {
		fit := settled == nil && opened == nil
		began := time.Now()
		err := p.pass(ctx)
		took := time.Since(began)
		p.metrics.pass.Observe(took.Seconds())
		if err == nil && fit {
			p.takePart()
		}
		p.wait(ctx, &settled, &opened, p.judge(ctx, err), min((share-1)*took, restAtMost))
	}
}

// wait returns when it is time for the next pass. Members and interfaces are never kept waiting; changes of the caches,
// which come by the hundred, are gathered while it rests.
func (p *passer) wait(ctx context.Context, settled, opened *<-chan struct{}, retry <-chan time.Time, rest time.Duration) {
	var changed <-chan struct{}
	rested := time.After(rest)
	for {
		select {
		case <-rested:
			changed = p.changed
			continue
		case <-changed:
		case <-retry:
		case <-p.group.Changed():
		case <-p.announcer.Changed():
		case <-*settled:
			*settled = nil
		case <-*opened:
			*opened = nil
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
	if !p.ready.CompareAndSwap(false, true) {
		return
	}
	p.o.Log.Info("Speaker takes part", "node", p.o.Node)
	p.metrics.ready.Set(1)
	p.group.SetState(members.Ready)
}

// pass gathers, plans, applies and reports, once. Facts that could not be told do not stop it: all speakers, this one
// included, plan with what the group knows of this node.
func (p *passer) pass(ctx context.Context) error {
	interfaces := p.announcer.Interfaces()
	untold := p.tell(ctx, interfaces)
	roster := p.group.Members()
	w, err := p.gather.world(ctx, roster)
	if err != nil {
		return errors.Join(untold, err)
	}
	p.planBGP(ctx, w)
	should := plan.Make(w, p.o.Node)
	if err := p.apply(ctx, should); err != nil {
		return errors.Join(untold, err)
	}
	p.report(bounded(v1beta1.SpeakerStatusStatus{
		Version:    p.o.Version,
		State:      p.state().String(),
		Dataplane:  string(p.dataplane()),
		Interfaces: statusInterfaces(interfaces),
		Members:    v1beta1.SpeakerMembers{Alive: int32(len(roster)), Missing: missing(p.peers, roster)},
		L2:         statusL2(p.running, p.desired, nil, p.rivals),
		BGP:        statusBGP(p.routing.report()),
		Withdrawn:  p.withdrawn(ctx, should),
	}))
	return untold
}

func (p *passer) state() members.State {
	if p.ready.Load() {
		return members.Ready
	}
	return members.Starting
}

// tell gives the group what it must know of this node, and whom to look for.
func (p *passer) tell(ctx context.Context, interfaces []l2.Interface) error {
	told := factsOf(interfaces, p.dataplane())
	told.BGP = p.ownBGPFacts()
	mine, err := told.encode()
	if err != nil {
		return err
	}
	if err := p.group.Publish(mine); err != nil {
		return err
	}
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
