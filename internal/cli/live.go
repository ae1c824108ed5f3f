package cli

import (
	"context"
	"fmt"
	"reflect"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// settle is how long changes are gathered before they are shown: they come in swarms.
const settle = 200 * time.Millisecond

// follow calls show with the facts now, and again whenever something has changed, until ctx ends or show fails.
func (a *app) follow(ctx context.Context, what need, show func(explain.Facts) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	l, err := a.newLive(ctx, c, what)
	if err != nil {
		return err
	}
	for {
		f, err := l.gatherer.facts(ctx, what)
		if err != nil {
			return err
		}
		if err := show(f); err != nil {
			return err
		}
		if !l.wait(ctx) {
			return nil
		}
	}
}

// live holds what is needed up to date by watches.
type live struct {
	gatherer gatherer
	changed  chan struct{} // holds one token while there is something new
}

// newLive starts the watches; they end with ctx. It returns when all is there.
func (a *app) newLive(ctx context.Context, c *cluster, what need) (*live, error) {
	// What may not be read, and kinds that the API server does not know, are found out before they are watched: a watch
	// would wait for them for ever.
	if _, err := (gatherer{c.client.List, a.system, a.now}).facts(ctx, what); err != nil {
		return nil, err
	}
	store, err := a.newStore(c)
	if err != nil {
		return nil, err
	}
	l := &live{changed: make(chan struct{}, 1)}
	watched := a.watchable(ctx, c, what)
	for _, kind := range watched {
		if err := l.watch(ctx, store, kind); err != nil {
			return nil, err
		}
	}
	go func() { _ = store.Start(ctx) }() // it ends with ctx, and has no error that is not told by the lists below
	if !store.WaitForCacheSync(ctx) {
		return nil, ctx.Err()
	}
	l.gatherer = gatherer{l.lister(c, store, watched), a.system, a.now}
	return l, nil
}

func (a *app) newStore(c *cluster) (cache.Cache, error) {
	own := map[string]cache.Config{a.system: {}}
	store, err := cache.New(c.config, cache.Options{
		Scheme: c.scheme, Mapper: c.mapper, DefaultTransform: kube.Slim, ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Service{}:    {Field: loadBalancers()},
			&corev1.Pod{}:        {Namespaces: own, Label: labels.SelectorFromSet(kube.SpeakerPodLabels())},
			&appsv1.Deployment{}: {Namespaces: own, Label: labels.SelectorFromSet(labels.Set(controllerLabels()))},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the cache: %w", err)
	}
	return store, nil
}

// watchable lists the kinds that are needed and may be read.
func (a *app) watchable(ctx context.Context, c *cluster, what need) []client.Object {
	kinds := []client.Object{&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.BGPAdvertisement{}, &v1beta1.BGPPeer{}, &v1beta1.Community{}, &v1beta1.BFDProfile{},
		&v1beta1.SpeakerStatus{}, &corev1.Node{}}
	if what&(needServices|needEndpoints) != 0 {
		kinds = append(kinds, &corev1.Service{}, &v1beta1.IPReservation{}, &corev1.Namespace{})
	}
	if what&needEndpoints != 0 {
		kinds = append(kinds, &discoveryv1.EndpointSlice{})
	}
	if c.client.List(ctx, &corev1.PodList{}, client.InNamespace(a.system), client.Limit(1)) == nil {
		kinds = append(kinds, &corev1.Pod{})
	}
	if c.client.List(ctx, &appsv1.DeploymentList{}, client.InNamespace(a.system), client.Limit(1)) == nil {
		kinds = append(kinds, &appsv1.Deployment{})
	}
	return kinds
}

func (l *live) watch(ctx context.Context, store cache.Cache, kind client.Object) error {
	informer, err := store.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { l.raise() },
		UpdateFunc: func(before, after any) { l.raiseIf(before, after) },
		DeleteFunc: func(any) { l.raise() },
	})
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	return nil
}

func (l *live) raise() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// raiseIf passes over the heartbeats of Nodes, which say nothing new.
func (l *live) raiseIf(before, after any) {
	a, is := before.(*corev1.Node)
	b, too := after.(*corev1.Node)
	if is && too && sameNode(a, b) {
		return
	}
	l.raise()
}

// sameNode tells whether nothing about the Node matters that differs.
func sameNode(a, b *corev1.Node) bool { return reflect.DeepEqual(spec.ParseNode(a), spec.ParseNode(b)) }

// wait returns when something has changed and has settled; false when ctx has ended.
func (l *live) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-l.changed:
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settle):
	}
	select {
	case <-l.changed:
	default:
	}
	return true
}

// lister reads what is watched from the cache, which holds nothing but what is wanted, and the rest from the API server.
func (l *live) lister(c *cluster, store cache.Cache, watched []client.Object) lister {
	return func(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
		if _, once := list.(*networkingv1.ServiceCIDRList); once || !holds(watched, list) {
			return c.client.List(ctx, list, opts...)
		}
		return store.List(ctx, list, client.UnsafeDisableDeepCopy)
	}
}

func holds(watched []client.Object, list client.ObjectList) bool {
	want := fmt.Sprintf("%T", list)
	for _, o := range watched {
		if fmt.Sprintf("%TList", o) == want {
			return true
		}
	}
	return false
}
