package controllers

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

const (
	// announcerRest is how long the announcer rests after each pass, so that what comes by the hundred costs one.
	announcerRest = 200 * time.Millisecond
	// announcerShare: it works for one part in so many of the time, at most.
	announcerShare = 10
)

// announcer is the goroutine that finds out what the condition Announced of each Service is to say. It writes nothing: the
// allocator puts what it says into the same patch as the rest.
//
//	SpeakerStatuses, Pods, Nodes, configuration ─▶ who announces what ─┐    all addresses have an owner: announced
//	Services ─▶ addresses ────────────────────────────────────────────┴─▶  the rest, and shared ones: plan.Make says why not
type announcer struct {
	log       logr.Logger
	informers cache.Informers
	cache     client.Reader // what it returns is only read
	classes   kube.Classes
	rules     spec.NodeRules
	namespace string        // of the speaker Pods
	patience  time.Duration // how long a Service must lack its announcement before it is told
	now       func() time.Time
	changes   *changes
	say       func(map[types.NamespacedName]announcement)
	hint      func(map[string]hint)
	metrics   *metrics

	views   map[types.NamespacedName]view
	holders map[netip.Addr][]types.NamespacedName // Services that hold an address, in no order
	sorted  []netip.Addr                          // the addresses of holders; nil: some have come or gone
	facts   speakerFacts
	last    map[types.NamespacedName]announcement
	since   map[types.NamespacedName]time.Time // not as was last said
	ring    time.Time                          // when to look at those again
}

// view is what counts of a Service that has an owner for each address.
type view struct {
	uid  types.UID
	held []netip.Addr
}

// changes collects what is to be looked at again. It never blocks.
type changes struct {
	mu     sync.Mutex
	all    bool
	keys   keySet
	signal chan struct{}
}

func newChanges() *changes { return &changes{keys: keySet{}, signal: make(chan struct{}, 1)} }

func (c *changes) mark(all bool, keys ...types.NamespacedName) {
	c.mu.Lock()
	c.all = c.all || all
	for _, k := range keys {
		c.keys[k] = struct{}{}
	}
	c.mu.Unlock()
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *changes) take() (all bool, keys keySet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, keys = c.all, c.keys
	c.all, c.keys = false, keySet{}
	return all, keys
}

// watched is what the cache holds for it.
func (a *announcer) watched() []client.Object {
	return []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &corev1.Node{}, &corev1.Pod{},
		&v1beta1.SpeakerStatus{}, &v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{},
		&v1beta1.BGPPeer{}, &v1beta1.BGPAdvertisement{}, &v1beta1.Community{},
	}
}

// NeedLeaderElection keeps it to the leader.
func (a *announcer) NeedLeaderElection() bool { return true }

// Start works until ctx ends.
func (a *announcer) Start(ctx context.Context) error {
	for _, kind := range a.watched() {
		informer, err := a.informers.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(a.changes.on(kind)); err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	a.changes.mark(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.changes.signal:
		case <-a.alarm():
		}
		began := a.now()
		if err := a.pass(ctx); err != nil && ctx.Err() == nil {
			a.log.V(1).Info("announcements not looked at, trying again", "reason", err.Error())
			a.changes.mark(true)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(announcerRest, (announcerShare-1)*a.now().Sub(began))):
		}
	}
}

// alarm rings when it is time to look at those again that wait to be told.
func (a *announcer) alarm() <-chan time.Time {
	if len(a.since) == 0 {
		return nil
	}
	return time.After(a.ring.Sub(a.now()))
}

// overdue adds to keys those that wait to be told, when it is time.
func (a *announcer) overdue(keys keySet) {
	now := a.now()
	if now.Before(a.ring) {
		return
	}
	a.ring = now.Add(a.patience / lastingShare)
	for k := range a.since {
		keys[k] = struct{}{}
	}
}

// pass looks at what has changed and says what differs from what it said last.
func (a *announcer) pass(ctx context.Context) error {
	began := a.now()
	all, keys := a.changes.take()
	all = all || a.views == nil
	a.overdue(keys)
	if err := a.refresh(ctx, all, keys); err != nil {
		a.views = nil // what was taken from changes is lost
		return err
	}
	look := maps.Keys(keys)
	if all {
		look = maps.Keys(a.views)
	}
	outcomes, err := a.outcomes(ctx, look)
	if err != nil {
		return err
	}
	a.tell(outcomes)
	a.metrics.announcedPass.Observe(a.now().Sub(began).Seconds())
	return nil
}

// refresh takes over what has changed: these Services, all else where that is said, everything at the beginning. What was
// heard about an address counts for the addresses that there were, so a new one is reason enough to listen.
func (a *announcer) refresh(ctx context.Context, all bool, keys keySet) error {
	if a.views == nil {
		if err := a.readAll(ctx); err != nil {
			return err
		}
	} else {
		fresh, err := a.read(ctx, keys)
		if err != nil {
			return err
		}
		all = all || fresh
	}
	if all {
		return a.hear(ctx)
	}
	return nil
}

// readAll takes over all Services.
func (a *announcer) readAll(ctx context.Context) error {
	var list corev1.ServiceList
	if err := a.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Services: %w", err)
	}
	a.views, a.holders = make(map[types.NamespacedName]view, len(list.Items)), make(map[netip.Addr][]types.NamespacedName, len(list.Items))
	for i := range list.Items {
		a.look(keyOf(&list.Items[i]), &list.Items[i])
	}
	for k := range a.last {
		if _, there := a.views[k]; !there {
			a.forget(k)
		}
	}
	return nil
}

// read takes over these Services and adds those that share addresses with them, before or now. It tells whether addresses
// have come or gone.
func (a *announcer) read(ctx context.Context, keys keySet) (fresh bool, _ error) {
	for k := range maps.Clone(keys) {
		a.sharers(k, keys)
		was := a.views[k].held
		var s corev1.Service
		switch err := a.cache.Get(ctx, k, &s); {
		case apierrors.IsNotFound(err):
			a.unlook(k)
		case err != nil:
			return false, fmt.Errorf("reading Service %s: %w", k, err)
		default:
			a.unlook(k)
			a.look(k, &s)
		}
		if _, there := a.views[k]; !there {
			a.forget(k)
		}
		a.sharers(k, keys)
		fresh = fresh || !slices.Equal(was, a.views[k].held)
	}
	return fresh, nil
}

// look takes in a Service if it is one that speakers announce.
func (a *announcer) look(k types.NamespacedName, s *corev1.Service) {
	if !a.classes.Ours(s) || s.Annotations[v1beta1.AnnotationAllocatedFrom] == "" || s.DeletionTimestamp != nil {
		return
	}
	v := view{s.UID, heldBy(s)}
	a.views[k] = v
	for _, ip := range v.held {
		a.holders[ip] = append(a.holders[ip], k)
		if len(a.holders[ip]) == 1 {
			a.sorted = nil
		}
	}
}

func (a *announcer) unlook(k types.NamespacedName) {
	for _, ip := range a.views[k].held {
		if left := slices.DeleteFunc(a.holders[ip], func(h types.NamespacedName) bool { return h == k }); len(left) > 0 {
			a.holders[ip] = left
		} else {
			delete(a.holders, ip)
			a.sorted = nil
		}
	}
	delete(a.views, k)
}

// sharers adds to keys all that share an address with a Service.
func (a *announcer) sharers(k types.NamespacedName, keys keySet) {
	for _, ip := range a.views[k].held {
		for _, h := range a.holders[ip] {
			keys[h] = struct{}{}
		}
	}
}

func (a *announcer) forget(k types.NamespacedName) {
	delete(a.last, k)
	delete(a.since, k)
}

// tell says what differs from what was last said: at once that a Service is announced or by whom, that it is not only when
// that has lasted.
func (a *announcer) tell(outcomes map[types.NamespacedName]announcement) {
	news := map[types.NamespacedName]announcement{}
	for k, is := range outcomes {
		was, said := a.last[k]
		switch {
		case said && is.repeats(was):
			delete(a.since, k)
			continue
		case !is.all && a.waits(k, is.reason):
			continue
		}
		delete(a.since, k)
		a.last[k], news[k] = is, is
	}
	if len(news) > 0 {
		a.say(news)
	}
	a.metrics.announcements(a.last)
}

// lastingShare: reasons that do not pass by themselves are told after this part of the patience.
const lastingShare = 5

// waits tells whether it is too early to tell that a Service is not announced. Nodes and speakers come back and take over
// from each other; what users or pods have to do about it is told sooner.
func (a *announcer) waits(k types.NamespacedName, r spec.Reason) bool {
	now, patience := a.now(), a.patience
	if _, waiting := a.since[k]; !waiting {
		a.since[k] = now
	}
	switch r {
	case plan.ReasonNoAdvertisement, plan.ReasonNoEndpoints, plan.ReasonServiceProxy:
		patience /= lastingShare
	}
	return now.Sub(a.since[k]) < patience
}
