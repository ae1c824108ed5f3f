package speaker

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// retryAfter is how soon a pass that failed is tried again without being asked.
const retryAfter = time.Second

// group is what a pass needs of the other speakers.
type group interface {
	Members() []members.Member
	SetPeers(map[string]netip.AddrPort)
	SetState(members.State)
	Publish(facts []byte, first ...string) error
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

// detector is what a pass needs of the probes.
type detector interface {
	SetTargets(map[string]netip.AddrPort)
	Verdicts() map[string]liveness.Verdict
	Changed() <-chan struct{}
}

var (
	_ group     = (*members.Group)(nil)
	_ announcer = (*l2.Announcer)(nil)
	_ routers   = (*routing)(nil)
	_ detector  = (*liveness.Detector)(nil)
)

// passer runs one pass after another, each when something has changed since the last.
type passer struct {
	o         Options
	gather    gatherer
	group     group
	announcer announcer
	routing   routers
	detector  detector
	keys      func() []string // digests of the gossip keys held
	report    func(v1beta1.SpeakerStatusStatus)
	demand    <-chan struct{} // tells that a report would be looked at now
	metrics   metrics
	dataplane func() plan.Dataplane // of this node
	changed   signal
	dirt      *dirt
	ready     *atomic.Bool
	passing   *kube.Passes
	farewell  *farewell

	// What the last pass left behind.
	mind      *mind
	rest      rest
	planner   *plan.Planner
	gathered  bool      // the API server's objects are known as they were at the last pass; else the next one looks at everything
	listen    bool      // the next pass is to look at what the speakers say, too
	looked    time.Time // when what the speakers say was last looked at
	objects   spec.Objects
	config    *spec.Snapshot
	cluster   []spec.Node
	nodes     []plan.Node
	seen      []members.Member
	gone      []string // Services about which this node is silent
	peers     map[string]netip.AddrPort
	last      map[string]netip.Addr // where members were that may be gone
	said      facts                 // to the group
	told      []byte                // the same, as it was published
	state     members.State
	settled   bool // the join window is over
	opened    bool // sockets are open
	recalling recalling
	desired   l2.Desired
	running   l2.Running
	rivals    rivals
	failed    bool
	bgp       plan.BGPPlan
	carried   *v1beta1.SpeakerPlan // the last that was carried out, as it was reported
	carriedAt time.Time            // when a plan was last carried out, zero if that was reported
	routes    bool                 // BGP is or was in use
}

func (p *passer) run(ctx context.Context) {
	for ctx.Err() == nil {
		fit := p.settled && p.opened
		began := time.Now()
		end := p.passing.Begin()
		err := p.pass(ctx)
		end()
		took := time.Since(began)
		p.metrics.pass.Observe(took.Seconds())
		if err == nil && fit && p.takePart() {
			continue
		}
		if err != nil {
			p.gathered = false
		}
		p.wait(ctx, p.judge(ctx, err), p.rest.after(began.Add(took), took))
	}
}

// wait returns when it is time for the next pass. Members, probes and interfaces are never kept waiting; changes of the
// caches, which come by the hundred, are gathered while it rests.
func (p *passer) wait(ctx context.Context, retry <-chan time.Time, rest time.Duration) {
	var caches <-chan struct{}
	rested, due := time.After(rest), p.due(time.Now())
	settled, opened := until(p.settled, p.group.Settled()), until(p.opened, p.announcer.Ready())
	for {
		select {
		case <-rested:
			rested, caches = nil, p.changed
			continue
		case <-caches:
			return
		case <-p.awaited():
			p.report(p.status(ctx))
			continue
		case <-p.group.Changed():
			if p.hearsItself() {
				continue
			}
		case <-retry:
		case <-due:
		case <-p.detector.Changed():
		case <-p.announcer.Changed():
		case <-p.farewell.asked:
		case <-settled:
			p.settled = true
		case <-opened:
			p.opened = true
		case <-ctx.Done():
		}
		p.listen = true
		return
	}
}

// hearsItself tells whether nothing is new in the group but what this node has said.
func (p *passer) hearsItself() bool {
	return p.opened && sameOthers(p.seen, p.group.Members(), p.o.Node)
}

// due is when time alone changes the plan: what was still to come when the last one was made, be it over by now.
func (p *passer) due(now time.Time) <-chan time.Time {
	at := p.mind.next(p.looked)
	if at.IsZero() {
		return nil
	}
	return time.After(at.Sub(now))
}

// until is a channel for as long as it has not told what it tells once.
func until(told bool, c <-chan struct{}) <-chan struct{} {
	if told {
		return nil
	}
	return c
}

// sameOthers tells whether two rosters differ in nothing but this node itself.
func sameOthers(a, b []members.Member, self string) bool {
	return slices.EqualFunc(a, b, func(m, o members.Member) bool {
		return m.Name == o.Name && (m.Name == self || m.Addr == o.Addr && m.State == o.State && m.Version == o.Version &&
			m.Current == o.Current && m.Joins == o.Joins && bytes.Equal(m.Facts, o.Facts))
	})
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
func (p *passer) takePart() (news bool) {
	if p.ready.Load() {
		return false
	}
	p.o.Log.Info("Speaker takes part", "node", p.o.Node)
	p.metrics.ready.Set(1)
	p.mind.readyAt = time.Now()
	p.become(members.Ready)
	p.ready.Store(true)
	p.listen = true
	return true
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
	news, untold := p.tell(now, interfaces)
	p.listen = p.listen || news
	dirt := p.dirt.take()
	should, ok, err := p.plan(ctx, now, dirt)
	if err != nil || !ok {
		return errors.Join(untold, err)
	}
	p.carriedAt = time.Time{} // until it is
	if err := p.apply(ctx, should, p.nodes); err != nil {
		return errors.Join(untold, err)
	}
	should.Heard = heldBy(should.Heard, p.running)
	should.Prove(func(a netip.Addr) bool { return p.running.Addresses[a] != nil })
	before := p.mind.facts
	if p.mind.learn(now, should) {
		p.metrics.takeovers.Add(float64(takeovers(p.o.Node, before, should.Facts)))
		_, err := p.tell(now, interfaces)
		untold = errors.Join(untold, err)
		p.changed.raise() // what it has said counts for its next plan
	}
	p.farewell.see(should)
	if p.recalling.done {
		p.carriedAt = now
		select {
		case <-p.demand:
			p.report(p.status(ctx))
		default:
		}
	}
	return errors.Join(untold, p.recalling.err)
}

// awaited is demand, as long as something has been carried out that has not been reported.
func (p *passer) awaited() <-chan struct{} {
	if p.carriedAt.IsZero() {
		return nil
	}
	return p.demand
}

// status is what is reported of the last pass. It costs more than many a pass does, so it is made when somebody will look at it.
func (p *passer) status(ctx context.Context) v1beta1.SpeakerStatusStatus {
	p.carry(ctx)
	group := statusMembers(p.peers, p.seen, p.nodes)
	p.metrics.missing.Set(float64(len(group.Missing)))
	return bounded(v1beta1.SpeakerStatusStatus{
		Version:    p.o.Version,
		State:      p.state.String(),
		Dataplane:  string(p.dataplane()),
		Plan:       p.carried,
		Interfaces: statusInterfaces(p.announcer.Interfaces()),
		Members:    group,
		L2:         statusL2(p.running, p.desired, epochs(p.mind.facts.Claims), p.rivals),
		BGP:        statusBGP(p.routing.report()),
		Withdrawn:  p.gone,
		Omitted:    v1beta1.SpeakerOmitted{L2Conflicts: p.rivals.unshown()},
	})
}

// plan looks at as little as it must. It returns false as long as this node could not do what is planned.
func (p *passer) plan(ctx context.Context, now time.Time, f found) (should plan.Plan, ok bool, err error) {
	change, known := p.gather.some(f)
	known = known && p.gathered
	if !known {
		if err := p.look(ctx); err != nil {
			return should, false, err
		}
	}
	if !p.opened {
		p.gathered = false
		return should, false, nil // it could not answer, so it must not say that it does
	}
	var services []plan.Service
	if !known {
		if services, err = p.read(ctx); err != nil {
			return should, false, err
		}
	}
	p.hear(ctx, now, !known || p.listen)
	p.listen, p.gathered = false, true
	began := time.Now()
	w := plan.World{Config: p.config, Services: services, Nodes: p.nodes, Own: plan.Own{Overdue: p.mind.overdue(now)}}
	if known {
		should = p.update(w, change)
	} else {
		should = p.planner.Whole(w)
	}
	if !known || p.routes {
		p.planBGP(ctx)
	}
	p.metrics.plan.Observe(time.Since(began).Seconds())
	p.probe(should, p.seen)
	p.gone = p.withdrawn(should)
	return should, true, nil
}

// update plans from what has changed, if that is enough.
func (p *passer) update(w plan.World, c plan.Change) plan.Plan {
	if should, ok := p.planner.Update(w.Own, w.Nodes, c); ok {
		return should
	}
	return p.planner.Renew(w, c)
}

// read takes up all that the API server holds, and returns the Services.
func (p *passer) read(ctx context.Context) ([]plan.Service, error) {
	objects, err := p.gather.config(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := p.gather.nodes(ctx)
	if err != nil {
		return nil, err
	}
	services := p.gather.catalog().all()
	// The controller reports the problems; a speaker works with what is left.
	config, _ := spec.Parse(objects)
	p.objects, p.config, p.cluster = objects, config, cluster
	p.routes = p.routes || len(config.BGP.Peers) > 0
	return services, nil
}

// hear joins the cluster's Nodes with what the speakers say, or only with what this one itself has said.
func (p *passer) hear(ctx context.Context, now time.Time, all bool) {
	if !all {
		p.nodes = slices.Clone(p.nodes)
		if me := p.own(); me >= 0 {
			p.nodes[me].Facts = p.mind.facts
		}
		return
	}
	p.seen, p.looked = p.roster(), now
	p.recall(ctx, now, p.seen)
	p.mind.leaving = p.farewell.drains()
	p.nodes = p.mind.nodes(now, p.cluster, p.seen)
	plan.Settle(p.nodes, p.o.NodeRules)
	p.leave()
}

// own is the place of this node among all, negative while it is not known.
func (p *passer) own() int {
	return slices.IndexFunc(p.cluster, func(n spec.Node) bool { return n.Name == p.o.Node })
}

// roster is who is in the group. What this node has told a moment ago may not be there yet, and is put in its place: no pass
// follows when it hears itself.
func (p *passer) roster() []members.Member {
	all := slices.Clone(p.group.Members())
	for i := range all {
		if all[i].Name == p.o.Node && p.told != nil {
			all[i].Facts = p.told
		}
	}
	return all
}

// leave tells the others that this node gives its addresses away, and when it does not any more.
func (p *passer) leave() {
	draining, excluded := false, false
	if me := p.own(); me >= 0 {
		draining, excluded = p.nodes[me].Draining, p.nodes[me].Excluded
	}
	p.metrics.draining.Set(flag(draining || excluded))
	switch {
	case draining:
		p.become(members.Draining)
	case p.ready.Load():
		p.become(members.Ready)
	}
}

// tell gives the group what it must know of this node, and returns whether that was news.
func (p *passer) tell(now time.Time, interfaces []l2.Interface) (news bool, err error) {
	f := p.mind.tells(now, interfacesOf(interfaces), p.dataplane(), p.detector.Verdicts(), p.keys())
	f.BGP = p.ownBGPFacts()
	if p.told != nil && reflect.DeepEqual(f, p.said) {
		return false, nil
	}
	mine, err := f.encode()
	if err != nil {
		return false, err
	}
	if news = !bytes.Equal(mine, p.told); news {
		if err := p.group.Publish(mine, f.parties()...); err != nil {
			return false, err
		}
	}
	p.listen = p.listen || f.Dataplane != p.said.Dataplane // it has changed within a pass
	p.said, p.told = f, mine
	return news, nil
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
	return nil
}
