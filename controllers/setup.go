package controllers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// userAgent is how the API server knows the controller.
const userAgent = "belfry-controller"

// Options is all that a controller has to be told.
type Options struct {
	Classes   kube.Classes
	NodeRules spec.NodeRules // how the marks of nodes are read; the speakers must be given the same
	Namespace string         // where the Lease and the gossip key are
	Timing    Timing
	// ServiceCIDRs and PodCIDRs are what the cluster uses itself, besides what it tells of.
	ServiceCIDRs, PodCIDRs []string
	// ServiceFinalizer keeps deleted Services until every speaker is silent about them. The speakers must be given the same.
	ServiceFinalizer bool
	// AnnouncedPatience is how long a Service must not be announced before its condition says so.
	AnnouncedPatience time.Duration
	// QuickstartAddresses are those of a pool that the controller makes and announces on the local network; empty: none.
	QuickstartAddresses []string
	// FullPassEvery is how often every Service is looked at though nothing is known to have changed.
	FullPassEvery  time.Duration
	HealthAddress  string // host:port of /healthz and /readyz; "0": none
	MetricsAddress string // host:port of /metrics; "0": none
	MetricsSecure  bool   // serve /metrics over TLS, to those whom the API server lets read it
	PprofAddress   string // host:port of /debug/pprof; "0": none
	Registerer     prometheus.Registerer
	Log            logr.Logger
}

// DefaultOptions is what the flags say when nobody sets them.
func DefaultOptions() Options {
	return Options{
		Classes:           kube.DefaultClasses(),
		Timing:            DefaultTiming(),
		FullPassEvery:     10 * time.Minute,
		AnnouncedPatience: 5 * time.Second,
		HealthAddress:     ":7981",
		MetricsAddress:    ":7980",
		PprofAddress:      "0",
	}
}

// New returns a manager with everything that the controller runs. Nothing is started, nothing is asked of the API server
// but which kinds it serves.
func New(cfg *rest.Config, o Options) (manager.Manager, error) {
	if err := o.Timing.validate(); err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = userAgent
	cfg.QPS = -1 // the API server's own priority and fairness does it better
	f := newFence(o.Timing)
	lease, err := newLease(cfg, o.Namespace, f)
	if err != nil {
		return nil, err
	}
	slim := newSlimmer()
	mgr, err := newManager(cfg, o, lease, slim)
	if err != nil {
		return nil, err
	}
	rec, err := newRecorder(o.Log.WithName("events"), mgr.GetScheme(), mgr.GetClient())
	if err != nil {
		return nil, err
	}
	if err := setup(mgr, o, f, slim, rec); err != nil {
		return nil, err
	}
	return &recorded{mgr, rec}, nil
}

func newManager(cfg *rest.Config, o Options, lease *leaseLock, slim *slimmer) (manager.Manager, error) {
	scheme, err := kube.NewScheme()
	if err != nil {
		return nil, err
	}
	forever := time.Duration(-1)
	mgr, err := manager.New(cfg, manager.Options{
		Scheme:                              scheme,
		Logger:                              o.Log,
		Cache:                               cacheOptions(o.Namespace, slim),
		LeaderElection:                      true,
		LeaderElectionID:                    LeaseName,
		LeaderElectionResourceLockInterface: lease,
		LeaderElectionReleaseOnCancel:       true,
		LeaseDuration:                       &o.Timing.Lease,
		RenewDeadline:                       &o.Timing.Renew,
		RetryPeriod:                         &o.Timing.Retry,
		GracefulShutdownTimeout:             &forever, // the lease is not given away before the last write has returned
		Metrics:                             kube.MetricsOptions(o.MetricsAddress, o.MetricsSecure),
		HealthProbeBindAddress:              o.HealthAddress,
		PprofBindAddress:                    o.PprofAddress,
	})
	if err != nil {
		return nil, fmt.Errorf("building the manager: %w", err)
	}
	return mgr, nil
}

// setup is the table of contents: what the controller runs.
func setup(mgr manager.Manager, o Options, f *fence, slim *slimmer, rec *recorder) error {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	writer, err := newWriter(mgr, f)
	if err != nil {
		return err
	}
	used, err := newUsedByCluster(mgr.GetCache(), mgr.GetRESTMapper(), o)
	if err != nil {
		return err
	}
	rep := newReporter(mgr, o, writer, m, rec.tell)
	if err := indexSlices(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	s := newService(mgr, o, f, slim, writer, m, rep, rec.tell)
	announcing := newAnnouncer(mgr, o, m, s.inbox, rep)
	routers := newBGPReporter(mgr, o, newReporter(mgr, o, writer, m, rec.tell))
	s.used, s.speakers = used, speakers{o.ServiceFinalizer, o.Namespace, mgr.GetCache()}
	runnables := []manager.Runnable{
		rep,
		s,
		announcing,
		routers,
		&gossip{log: o.Log.WithName("gossip"), fence: f, client: writer, namespace: o.Namespace, metrics: m},
	}
	addresses, err := parseQuickstart(o.QuickstartAddresses)
	if err != nil {
		return err
	}
	if len(addresses) > 0 {
		runnables = append(runnables, &quickstart{
			log: o.Log.WithName("quickstart"), fence: f, cache: mgr.GetCache(), client: writer, metrics: m,
			addresses: addresses, refused: map[types.UID]bool{},
		})
	}
	for _, r := range runnables {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("adding %T: %w", r, err)
		}
	}
	if err := addWitness(mgr, s.witness); err != nil {
		return err
	}
	alive := func(*http.Request) error { return s.passing.Alive() }
	if err := mgr.AddHealthzCheck("passes", alive); err != nil {
		return fmt.Errorf("adding the liveness check: %w", err)
	}
	return addReadiness(mgr, slices.Concat(s.watched(), announcing.watched(), routers.watched()))
}

func newService(mgr manager.Manager, o Options, f *fence, slim *slimmer, writer client.Client, m *metrics, rep *reporter, tell func(client.Object, notice) bool) *service {
	return &service{
		allocator: &allocator{
			log: o.Log.WithName("allocator"), classes: o.Classes, now: time.Now, live: mgr.GetAPIReader(),
			objects: newObjects(mgr.GetCache(), slim), inbox: newInbox(o.Classes), witness: &witness{now: time.Now}, services: newLane("Service", "service"), reservations: newLane("IPReservation", "reservation"),
			metrics: m, report: rep, news: news{tell: tell}, table: alloc.New(), since: map[types.NamespacedName]time.Time{}, settled: map[types.NamespacedName]string{},
			known: byNamespace{}, leaving: keySet{}, said: map[types.NamespacedName]announcement{}, touched: map[string]bool{},
		},
		fence: f, cache: mgr.GetCache(), client: writer, fullEvery: o.FullPassEvery,
	}
}

func newAnnouncer(mgr manager.Manager, o Options, m *metrics, b *inbox, rep *reporter) *announcer {
	return &announcer{
		log: o.Log.WithName("announced"), informers: mgr.GetCache(), cache: mgr.GetCache(), classes: o.Classes, rules: o.NodeRules, namespace: o.Namespace,
		patience: o.AnnouncedPatience, now: time.Now, changes: newChanges(), say: b.announce, hint: rep.hint, metrics: m,
		last: map[types.NamespacedName]announcement{}, since: map[types.NamespacedName]time.Time{},
	}
}

func newBGPReporter(mgr manager.Manager, o Options, writer *reporter) *bgpReporter {
	return &bgpReporter{
		log: o.Log.WithName("bgp"), informers: mgr.GetCache(), cache: mgr.GetCache(), classes: o.Classes, rules: o.NodeRules,
		namespace: o.Namespace, writer: writer, wake: make(chan struct{}, 1),
	}
}

func newReporter(mgr manager.Manager, o Options, writer client.Client, m *metrics, tell func(client.Object, notice) bool) *reporter {
	return &reporter{log: o.Log.WithName("status"), cache: mgr.GetCache(), client: writer, metrics: m, tell: tell, keeps: len(o.QuickstartAddresses) > 0, failures: map[string]int{}, wake: make(chan struct{}, 1), allocated: make(chan struct{})}
}

// newWriter returns the client for all that only a leader may write. It waits a little longer than the API server does.
func newWriter(mgr manager.Manager, f *fence) (client.Client, error) {
	cfg := rest.CopyConfig(mgr.GetConfig())
	cfg.Timeout = f.timing.Write + f.timing.Write/4
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return f.wrap(rt) })
	c, err := client.New(cfg, client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return c, nil
}

// watched is what the cache holds, on a standby too: it then takes over with a full one.
func (a *allocator) watched() []client.Object {
	return append(slices.Concat(a.used.watched(), a.speakers.watched()), &corev1.Service{}, &corev1.Namespace{}, &v1beta1.IPReservation{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{})
}

// addWitness has the witness look from the beginning, leader or not.
func addWitness(mgr manager.Manager, w *witness) error {
	informer, err := mgr.GetCache().GetInformer(context.Background(), &corev1.Service{}, cache.BlockUntilSynced(false))
	if err == nil {
		_, err = informer.AddEventHandler(w.onServices())
	}
	if err != nil {
		return fmt.Errorf("watching Services: %w", err)
	}
	return nil
}

// addReadiness makes a replica ready when its caches are, leader or not.
func addReadiness(mgr manager.Manager, kinds []client.Object) error {
	synced := map[string]func() bool{}
	for _, kind := range kinds {
		informer, err := mgr.GetCache().GetInformer(context.Background(), kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		synced[fmt.Sprintf("%T", kind)] = informer.HasSynced
	}
	ready := func(*http.Request) error {
		for kind, has := range synced {
			if !has() {
				return fmt.Errorf("the cache of %s is not filled yet", kind)
			}
		}
		return nil
	}
	if err := mgr.AddReadyzCheck("caches", ready); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}
