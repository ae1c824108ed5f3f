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
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/discard"
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
	// SnapshotDir is where a snapshot is kept for the next speaker in this Pod, in memory only; empty: nowhere.
	SnapshotDir string
	Failover    members.Profile
	// LivenessPort is where speakers probe each other (UDP), on the address of MembersBind; 0 means liveness.DefaultPort.
	LivenessPort uint16
	// RestartWindow is how long addresses wait for a speaker that restarts; 0 means RestartWindow.
	RestartWindow time.Duration
	OnRestart     OnRestart // "": StandIn
	// HoldDown is how long a speaker has been ready until it takes addresses from nodes that are well; 0 means 30 seconds.
	HoldDown    time.Duration
	Exclude     []string       // globs of interfaces never to announce on; nil: those of pods and CNIs
	NodeRules   spec.NodeRules // how the marks of nodes are read; the controller must be given the same
	ProxyHealth string         // host:port of kube-proxy's /healthz on this node; "0": it is not asked
	// ServiceFinalizer has the speaker tell about which Services that are being deleted it is silent. The controller must
	// be given the same.
	ServiceFinalizer bool
	BGP              BGPOptions

	Client     client.Client // cached reads, direct writes
	Direct     client.Reader // reads from the API server itself
	Cache      cache.Cache   // made with CacheOptions
	Log        logr.Logger
	Registerer prometheus.Registerer // nil: no metrics are exported
}

// BGPOptions is what users can set of how routes end.
type BGPOptions struct {
	// WithdrawDelay is how long a route of a Service with externalTrafficPolicy: Local outlives its last pod on this node, so
	// that routers hear of the pods that replace it first.
	WithdrawDelay time.Duration
	// DrainTime is how long routes are announced with GRACEFUL_SHUTDOWN (RFC 8326) before they are withdrawn.
	DrainTime time.Duration
}

// DefaultBGPOptions are those of the command line.
func DefaultBGPOptions() BGPOptions {
	return BGPOptions{WithdrawDelay: 500 * time.Millisecond, DrainTime: 2 * time.Second}
}

// Speaker announces addresses from this node.
type Speaker struct {
	o         Options
	announcer *l2.Announcer
	routing   *routing
	reporter  *reporter
	metrics   metrics
	source    *source // o.Client
	live      *catalog
	dataplane *dataplane
	changed   signal      // something in the caches changed
	dirt      dirt        // what it was
	dirty     signal      // the snapshot is behind
	newSecret signal      // the gossip key's Secret may have changed
	ready     atomic.Bool // the speaker takes part
	passing   kube.Passes
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
	live := newCatalog()
	reads := &source{Client: o.Client, live: live}
	o.Client = reads
	changed := newSignal()
	s := &Speaker{
		o:         o,
		source:    reads,
		live:      live,
		announcer: announcer,
		reporter:  newReporter(o.Node, o.Client, o.Direct, o.Log.WithName("status"), func(err error) { m.wrote("SpeakerStatus", err) }),
		metrics:   m,
		dataplane: newDataplane(o.Node, o.ProxyHealth, o.Log.WithName("dataplane"), changed),
		changed:   changed,
		dirty:     newSignal(),
		newSecret: newSignal(),
	}
	if s.routing, err = s.newRouting(); err != nil {
		return nil, err
	}
	return s, nil
}

// newRouting builds BGP and BFD.
func (s *Speaker) newRouting() (*routing, error) {
	o := s.o
	speaks, err := bgp.New(bgp.Options{Log: o.Log.WithName("bgp"), Registerer: o.Registerer})
	if err != nil {
		return nil, fmt.Errorf("building the BGP router: %w", err)
	}
	watches, err := bfd.New(bfd.Options{Log: o.Log.WithName("bfd"), Registerer: o.Registerer})
	if err != nil {
		return nil, fmt.Errorf("building the BFD engine: %w", err)
	}
	desk := newBGPDesk(o.BGP.WithdrawDelay, o.BGP.DrainTime, newNetRoutes())
	rules := discard.New(&netlink.Handle{})
	r := newRouting(o.Node, o.Log.WithName("bgp"), speaks, watches, rules, desk, s.changed.raise, s.drained)
	if o.Registerer == nil {
		return r, nil
	}
	if err := o.Registerer.Register(newBFDMetrics(r.report, watches.Running)); err != nil {
		return nil, fmt.Errorf("registering metrics of BFD: %w", err)
	}
	return r, nil
}

// NeedLeaderElection is false: every node has its speaker.
func (s *Speaker) NeedLeaderElection() bool { return false }

// Alive returns an error while a pass has been running for more than kube.PassMost. It is no fault that none runs: nothing
// has changed, or the speaker still waits for what it needs to begin with.
func (s *Speaker) Alive() error { return s.passing.Alive() }

// Ready returns an error until the speaker takes part: caches synced, sockets open, join window over. It never takes that
// back: a speaker that has lost the API server or all other speakers goes on with what it knows.
func (s *Speaker) Ready() error {
	if !s.ready.Load() {
		return errors.New("the speaker is starting: caches, sockets or the group are not ready yet")
	}
	return nil
}

// Start announces until ctx ends. Then it hands its addresses over if its node is to be left, else it says that it restarts,
// and falls silent last. What it needs to begin with (API server or snapshot, gossip key, port) it waits for; it returns an error when a
// part fails for good.
func (s *Speaker) Start(ctx context.Context) error {
	parts, ctx := errgroup.WithContext(ctx)
	synced := make(chan struct{})
	parts.Go(func() error { s.sync(ctx, synced); return nil })
	parts.Go(func() error { return s.speak(ctx, synced) })
	return parts.Wait()
}

func (s *Speaker) speak(ctx context.Context, synced <-chan struct{}) error {
	kept := loadSnapshot(s.o.SnapshotDir, s.o.Node, s.o.Client.Scheme(), s.o.Log)
	if !s.begin(ctx, synced, kept) {
		return nil
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
		Name: s.o.Node, Bind: netip.AddrPortFrom(s.o.MembersBind.Addr(), s.o.LivenessPort), Key: key, Knock: s.o.MembersBind.Port(),
		Profile: liveness.Profile(s.o.Failover), Log: s.o.Log.WithName("liveness"), Registerer: s.o.Registerer,
	})
	if err != nil {
		return fmt.Errorf("building the probes: %w", err)
	}
	var before [][]byte
	if kept != nil {
		before = kept.keys
	}
	keys := newKeyring(key, before)
	keys.node, keys.group, keys.log, keys.look, keys.told = s.o.Node, group, s.o.Log, s.newSecret, func() { s.showKeys(keys); s.touch() }
	keys.secret = func(ctx context.Context) ([]byte, error) { return gossipKey(ctx, s.o.Client, s.o.Namespace) }
	keys.absent = s.absent
	keys.use = func(primary []byte, others ...[]byte) error {
		return errors.Join(group.SetKeys(primary, others...), probes.SetKeys(primary, others...))
	}
	if err := keys.use(keys.keys()[0], keys.keys()[1:]...); err != nil {
		return err
	}
	s.showKeys(keys)
	return s.run(ctx, synced, group, probes, keys)
}

func (s *Speaker) showKeys(k *keyring) { s.metrics.keys.Set(float64(len(k.keys()))) }

// absent tells whether a speaker should be in the group and is not.
func (s *Speaker) absent(ctx context.Context, roster []members.Member) bool {
	should, err := peers(ctx, s.o.Client, s.o.Namespace, s.o.MembersBind)
	return err != nil || len(missing(should, roster)) > 0
}

// run owns the parts. They live until the farewell is over.
func (s *Speaker) run(ctx context.Context, synced <-chan struct{}, group *members.Group, probes *liveness.Detector, keys *keyring) error {
	answer := func(ctx context.Context) error {
		if err := s.announcer.Run(ctx); err != nil {
			return fmt.Errorf("running the layer 2 announcer: %w", err)
		}
		return nil
	}
	talk := func(ctx context.Context) error {
		live, end := context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		parts, live := errgroup.WithContext(live)
		bye := newFarewell()
		parts.Go(func() error { return group.Run(live) })
		parts.Go(func() error { return probes.Run(live) })
		parts.Go(func() error { s.reporter.run(live); return nil })
		parts.Go(func() error { s.dataplane.run(live); return nil })
		parts.Go(func() error { keys.run(live); return nil })
		parts.Go(func() error { s.remember(live, synced, keys); return nil })
		parts.Go(func() error { s.passes(group, probes, bye, keys).run(live); return nil })
		parts.Go(func() error {
			s.part(ctx, live, bye, group)
			end()
			return nil
		})
		return parts.Wait()
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return outlive(ctx, answer, talk) })
	both.Go(func() error {
		if err := s.routing.run(ctx); err != nil {
			return fmt.Errorf("running BGP and BFD: %w", err)
		}
		return nil
	})
	return both.Wait()
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

func (s *Speaker) passes(group *members.Group, probes *liveness.Detector, bye *farewell, keys *keyring) *passer {
	return &passer{
		o: s.o, keys: keys.digests, group: group, announcer: s.announcer, routing: s.routing, detector: probes, metrics: s.metrics,
		gather: gatherer{reader: s.o.Client, catalog: s.source.catalog},
		report: s.reporter.report, demand: s.reporter.demand, rivals: rivals{}, dataplane: s.dataplane.State, changed: s.changed, dirt: &s.dirt, ready: &s.ready, passing: &s.passing,
		planner: plan.NewPlanner(s.o.Node), farewell: bye, last: map[string]netip.Addr{}, mind: newMind(s.o.Node, cmp.Or(s.o.RestartWindow, RestartWindow), cmp.Or(s.o.HoldDown, holdDown), s.o.Log),
	}
}
