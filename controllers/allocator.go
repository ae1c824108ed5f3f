package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// allocator is the goroutine that owns the table of addresses. A pass is: gather what is dirty, compute verdicts, and
// hand what differs to the writers. It asks how things are, never what happened.
type allocator struct {
	log     logr.Logger
	classes kube.Classes
	now     func() time.Time
	live    client.Reader // the API server itself
	objects *objects
	inbox   *inbox
	outbox  *outbox
	retries *retries
	metrics *metrics
	report  *reporter
	tell    func(client.Object, notice)

	table *alloc.Table
	conf  spec.Objects
	snap  *spec.Snapshot
	probs []spec.Problem
	shown map[string]poolFacts               // pools that the metrics show
	since map[types.NamespacedName]time.Time // first seen without addresses
}

// firstPass builds the table from the API server itself: the cache may be older than what an earlier leader wrote.
func (a *allocator) firstPass(ctx context.Context) error {
	conf, err := configOf(ctx, a.live)
	if err != nil {
		return err
	}
	var list corev1.ServiceList
	if err := a.live.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Services: %w", err)
	}
	for i := range list.Items {
		if err := a.objects.saw(&list.Items[i]); err != nil {
			return err
		}
	}
	a.configure(conf)
	d := newDirty()
	for k := range a.objects.ahead {
		d.services[k] = struct{}{}
	}
	a.serve(ctx, d)
	a.metrics.pass(true)
	return nil
}

// pass looks at everything that is dirty.
func (a *allocator) pass(ctx context.Context, d dirty) error {
	if d.config {
		conf, err := configOf(ctx, a.objects.cache)
		if err != nil {
			return err
		}
		d.all = a.configure(conf) || d.all
	}
	if d.all {
		keys, err := a.objects.keys(ctx)
		if err != nil {
			return err
		}
		for k := range keys {
			d.services[k] = struct{}{}
		}
	}
	a.serve(ctx, d)
	a.metrics.pass(d.all)
	return nil
}

// configure takes the configuration over and tells whether Services may be affected.
func (a *allocator) configure(conf spec.Objects) bool {
	snap, probs := spec.Parse(conf)
	changed := a.snap == nil || !slices.EqualFunc(a.snap.Pools, snap.Pools, samePool)
	a.conf, a.snap, a.probs = conf, snap, probs
	if changed {
		a.table.SetPools(snap.Pools)
	}
	return changed
}

func samePool(p, q spec.Pool) bool {
	return p.Name == q.Name && p.UID == q.UID && p.Created.Equal(q.Created) && p.AutoAssign == q.AutoAssign && slices.Equal(p.Ranges, q.Ranges)
}

// serve brings the dirty Services, and all whom that helps or hurts, to what they should be.
func (a *allocator) serve(ctx context.Context, d dirty) {
	before := a.usage()
	batch := a.gather(ctx, d.services, d)
	if a.gained(before) && !d.all { // those in want come before those who are new
		batch = append(batch, a.gather(ctx, without(d.services, a.table.Pending()), d)...)
	}
	before = a.usage()
	a.claim(batch)
	again := setOf(a.table.TakeDisplaced())
	if a.gained(before) {
		maps.Copy(again, setOf(a.table.Pending()))
	}
	for len(again) > 0 { // ends: a displaced Service takes nothing from its elders
		a.claim(a.gather(ctx, again, d))
		again = setOf(a.table.TakeDisplaced())
	}
	a.publish()
}

type keySet = map[types.NamespacedName]struct{}

func setOf(keys []types.NamespacedName) keySet {
	out := make(keySet, len(keys))
	for _, k := range keys {
		out[k] = struct{}{}
	}
	return out
}

func without(out keySet, keys []types.NamespacedName) keySet {
	rest := setOf(keys)
	for k := range out {
		delete(rest, k)
	}
	return rest
}

// gather returns those of the Services that are to have addresses.
func (a *allocator) gather(ctx context.Context, keys keySet, d dirty) []*corev1.Service {
	var batch []*corev1.Service
	for key := range keys {
		if s := a.look(ctx, key, d.gone); s != nil {
			batch = append(batch, s)
		}
	}
	return batch
}

// look returns the Service when it is to have addresses; when it is not, any more, it lets go of those it has. A Service
// whose patch is on its way is looked at again when that has returned.
func (a *allocator) look(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) *corev1.Service {
	s, err := a.objects.service(ctx, key, gone)
	switch {
	case err != nil:
		a.log.Error(err, "Service not read", "service", key.String())
		a.retries.after(key, a.now())
		return nil
	case s == nil:
		a.forget(key)
		return nil
	case a.outbox.busy(key):
		return nil
	case a.classes.Ours(s):
		return s
	}
	a.disown(s)
	return nil
}

// disown takes what is ours off a Service that is not ours any more. One of type LoadBalancer that this process never
// served belongs to another controller, perhaps to another Belfry. The address is free when the status shows it no more.
func (a *allocator) disown(s *corev1.Service) {
	key := keyOf(s)
	_, served := a.table.Verdict(key)
	if served || s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		a.write(s, desired{}, nil)
	}
	if served && !shows(s) {
		a.release(key)
	}
}

// forget drops all that is known about a Service that is gone.
func (a *allocator) forget(key types.NamespacedName) {
	a.outbox.drop(key)
	a.retries.forget(key)
	a.release(key)
}

func (a *allocator) release(key types.NamespacedName) {
	delete(a.since, key)
	if freed := a.table.Release(key); len(freed) > 0 {
		a.log.Info("addresses released", "service", key.String(), "address", addrsOf(freed))
	}
}

// claim asks the table about Services, all at once so that it can keep to its order, and writes what differs.
func (a *allocator) claim(batch []*corev1.Service) {
	parsed := make([]spec.Service, len(batch))
	for i, s := range batch {
		parsed[i] = spec.ParseService(s)
	}
	for i, v := range a.table.ClaimAll(parsed) {
		if _, known := a.since[v.Key]; !known && len(parsed[i].Held) == 0 {
			a.since[v.Key] = a.now()
		}
		a.write(batch[i], wish(batch[i], v, a.now()), &v)
	}
}

// write hands what differs to the writers.
func (a *allocator) write(s *corev1.Service, d desired, v *alloc.Verdict) {
	p, differs := diff(s, d)
	if !differs {
		a.outbox.drop(keyOf(s))
		return
	}
	p.verdict = v
	a.outbox.put(p) // if one is on its way already, written will ask for the next
}

func (a *allocator) usage() map[string]alloc.Usage {
	out := make(map[string]alloc.Usage, len(a.snap.Pools))
	for _, p := range a.snap.Pools {
		out[p.Name] = a.table.Usage(p.Name)
	}
	return out
}

// gained tells whether addresses became free for which somebody may be waiting.
func (a *allocator) gained(before map[string]alloc.Usage) bool {
	for name, now := range a.usage() {
		if was := before[name]; now.AvailableIPv4 > was.AvailableIPv4 || now.AvailableIPv6 > was.AvailableIPv6 {
			return true
		}
	}
	return false
}

// written takes in how a write ended.
func (a *allocator) written(r result) {
	key := r.patch.key
	a.outbox.done(key)
	a.metrics.write("Service", r.err)
	if r.err != nil {
		a.log.V(1).Info("Service not written", "service", key.String(), "reason", r.err.Error())
		a.retries.after(key, a.now())
		return
	}
	a.retries.forget(key)
	if err := a.objects.saw(r.after); err != nil {
		a.log.Error(err, "answer not understood", "service", key.String())
	}
	a.inbox.mark(key) // what it let go of is free now, and what happened meanwhile is still to be looked at
	a.account(r)
}

// account tells people and metrics about a write that succeeded.
func (a *allocator) account(r result) {
	for _, n := range r.patch.events {
		a.tell(r.after, n)
	}
	v := r.patch.verdict
	if v == nil {
		return
	}
	a.metrics.verdict(v.Allocated, string(v.Reason))
	if len(r.patch.fresh) == 0 {
		return
	}
	if t, ok := a.since[v.Key]; ok {
		a.metrics.assignedAfter(a.now().Sub(t))
		delete(a.since, v.Key)
	}
	a.log.Info("addresses assigned", "service", v.Key.String(), "address", addrsOf(v.Addresses))
}

func addrsOf(list []alloc.Assigned) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.Addr.String())
	}
	return out
}
