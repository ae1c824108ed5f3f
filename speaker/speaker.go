package speaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// Options is what a speaker must be told.
type Options struct {
	Node        string         // name of the Node it runs on
	Namespace   string         // where the speaker Pods and the gossip key are
	Version     string         // of the program
	MembersBind netip.AddrPort // address and port (TCP and UDP) of the group; all speakers use the same port and family
	Failover    members.Profile
	// LivenessPort is where speakers probe each other (UDP), on the address of MembersBind; 0 means liveness.DefaultPort.
	LivenessPort uint16
	// RestartWindow is how long addresses wait for a speaker that restarts; 0 means RestartWindow.
	RestartWindow time.Duration
	OnRestart     OnRestart // "": StandIn
	// HoldDown is how long a speaker has been ready until it takes addresses from nodes that are well; 0 means 30 seconds.
	HoldDown    time.Duration
	Exclude     []string // globs of interfaces never to announce on; nil: those of pods and CNIs
	Classes     kube.Classes
	NodeRules   spec.NodeRules // how the marks of nodes are read; the controller must be given the same
	ProxyHealth string         // host:port of kube-proxy's /healthz on this node; "0": it is not asked
	// ServiceFinalizer has the speaker tell about which Services that are being deleted it is silent. The controller must
	// be given the same.
	ServiceFinalizer bool

	Client     client.Client // cached reads, direct writes
	Direct     client.Reader // reads from the API server itself
	Cache      cache.Cache   // made with CacheOptions
	Log        logr.Logger
	Registerer prometheus.Registerer // nil: no metrics are exported
}

// Speaker announces addresses from this node.
type Speaker struct {
	o         Options
	announcer *l2.Announcer
	reporter  *reporter
	metrics   metrics
	dataplane *dataplane
	changed   signal      // something in the caches changed
	ready     atomic.Bool // the speaker takes part
}

// New builds a speaker; Start runs it. It fails on a malformed glob in Exclude and on metrics that are registered already.
func New(o Options) (*Speaker, error) {
	announcer, err := l2.New(l2.Options{Log: o.Log.WithName("l2"), Exclude: o.Exclude, Registerer: o.Registerer})
	if err != nil {
		return nil, fmt.Errorf("building the layer 2 announcer: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	changed := newSignal()
	return &Speaker{
		o:         o,
		announcer: announcer,
		reporter:  newReporter(o.Node, o.Client, o.Direct, o.Log.WithName("status")),
		metrics:   m,
		dataplane: newDataplane(o.Node, o.ProxyHealth, o.Log.WithName("dataplane"), changed),
		changed:   changed,
	}, nil
}

// NeedLeaderElection is false: every node has its speaker.
func (s *Speaker) NeedLeaderElection() bool { return false }

// Ready returns an error until the speaker takes part: caches synced, sockets open, join window over.
func (s *Speaker) Ready() error {
	if !s.ready.Load() {
		return errors.New("the speaker is starting: caches, sockets or the group are not ready yet")
	}
	return nil
}

// Start announces until ctx ends. Then it hands its addresses over if its node is to be left, else it says that it restarts,
// and falls silent last. What it needs to begin with (API server, gossip key, port) it waits for; it returns an error when a
// part fails for good.
func (s *Speaker) Start(ctx context.Context) error {
	if !s.watch(ctx) || !s.o.Cache.WaitForCacheSync(ctx) {
		return nil // told to stop before the API server was heard
	}
	key, ok := s.awaitKey(ctx)
	if !ok || !s.awaitPort(ctx) {
		return nil
	}
	group, err := members.New(members.Options{
		Name: s.o.Node, Bind: s.o.MembersBind, Key: key, Profile: s.o.Failover,
		Version: s.o.Version, Log: s.o.Log.WithName("members"), Registerer: s.o.Registerer,
	})
	if err != nil {
		return fmt.Errorf("building the group: %w", err)
	}
	probes, err := liveness.New(liveness.Options{
		Name: s.o.Node, Bind: netip.AddrPortFrom(s.o.MembersBind.Addr(), s.o.LivenessPort), Key: key,
		Profile: liveness.Profile(s.o.Failover), Log: s.o.Log.WithName("liveness"), Registerer: s.o.Registerer,
	})
	if err != nil {
		return fmt.Errorf("building the probes: %w", err)
	}
	return s.run(ctx, group, probes, key)
}

// run owns the parts. They live until the farewell is over.
func (s *Speaker) run(ctx context.Context, group *members.Group, probes *liveness.Detector, key []byte) error {
	answer := func(ctx context.Context) error {
		if err := s.announcer.Run(ctx); err != nil {
			return fmt.Errorf("running the layer 2 announcer: %w", err)
		}
		return nil
	}
	return outlive(ctx, answer, func(ctx context.Context) error {
		live, end := context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		parts, live := errgroup.WithContext(live)
		bye := newFarewell()
		parts.Go(func() error { return group.Run(live) })
		parts.Go(func() error { return probes.Run(live) })
		parts.Go(func() error { s.reporter.run(live); return nil })
		parts.Go(func() error { s.dataplane.run(live); return nil })
		parts.Go(func() error { s.passes(group, probes, bye, key).run(live); return nil })
		parts.Go(func() error {
			s.part(ctx, live, bye, group)
			end()
			return nil
		})
		return parts.Wait()
	})
}

// outlive runs both until ctx ends or one fails. It lets answer go on until talk has returned: this node answers until
// the others have been told that it leaves.
func outlive(ctx context.Context, answer, talk func(context.Context) error) error {
	wire, silence := context.WithCancel(context.WithoutCancel(ctx))
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return answer(wire) })
	both.Go(func() error {
		defer silence()
		return talk(ctx)
	})
	return both.Wait()
}

func (s *Speaker) passes(group *members.Group, probes *liveness.Detector, bye *farewell, key []byte) *passer {
	return &passer{
		o: s.o, key: key, group: group, announcer: s.announcer, detector: probes, metrics: s.metrics,
		gather: gatherer{reader: s.o.Client, classes: s.o.Classes},
		report: s.reporter.report, rivals: rivals{}, dataplane: s.dataplane.State, changed: s.changed, ready: &s.ready,
		farewell: bye, last: map[string]netip.Addr{}, mind: newMind(s.o.Node, cmp.Or(s.o.RestartWindow, RestartWindow), cmp.Or(s.o.HoldDown, holdDown), s.o.Log),
	}
}
