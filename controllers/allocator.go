package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// allocator is the goroutine that owns the table of addresses. A pass is: gather what is dirty, compute verdicts, and
// hand what differs to the writers. It asks how things are, never what happened.
type allocator struct {
	log          logr.Logger
	classes      kube.Classes
	now          func() time.Time
	live         client.Reader // the API server itself
	objects      *objects
	used         *usedByCluster
	speakers     speakers
	inbox        *inbox
	witness      *witness
	services     lane
	reservations lane
	metrics      *metrics
	report       *reporter
	news         news

	table     *alloc.Table
	conf      spec.Objects
	snap      *spec.Snapshot
	probs     []spec.Problem
	forbidden []alloc.Forbidden
	gaps      []gap
	shown     map[string]poolFacts               // pools that the metrics show
	since     map[types.NamespacedName]time.Time // first seen without addresses

	settled map[types.NamespacedName]string // versions at which Services say all that they are to say
	free    map[string]alloc.Usage          // when all had what they could have
	helped  bool                            // something changed that may help those who lack an address
	known   byNamespace                     // reservations
	leaving keySet                          // Services that wait for speakers to be silent
	touched map[string]bool                 // namespaces in which a reservation's addresses may have come into other hands
	said    map[types.NamespacedName]announcement
}

// lane is the way of one kind of object to the API server.
type lane struct {
	kind    string
	word    string // for it in logs
	outbox  *outbox
	retries *retries
}

func newLane(kind, word string) lane { return lane{kind, word, newOutbox(), newRetries()} }

// batch is what is looked at together.
type batch struct {
	services     []*corev1.Service
	reservations []*v1beta1.IPReservation
}

// firstPass builds the table from the API server itself: the cache may be older than what an earlier leader wrote.
func (a *allocator) firstPass(ctx context.Context) error {
	began := a.now()
	conf, err := configOf(ctx, a.live)
	if err != nil {
		return err
	}
	used, err := a.used.addresses(ctx)
	if err != nil {
		return err
	}
	if a.gaps, err = a.used.gaps(ctx); err != nil {
		return err
	}
	for _, g := range a.gaps {
		a.log.Info("something of the cluster is not known", "reason", g.String())
	}
	d, err := a.readAll(ctx)
	if err != nil {
		return err
	}
	a.configure(conf, used)
	a.recall()
	a.serve(ctx, d)
	a.metrics.pass(true, a.now().Sub(began))
	return nil
}

// page is how many Services are asked for at once: thousands in full, at one time, are what nothing else needs room for.
const page = 500

// readAll reads all Services and reservations.
func (a *allocator) readAll(ctx context.Context) (dirty, error) {
	d := newDirty()
	for next, more := "", true; more; more = next != "" {
		var services corev1.ServiceList
		err := a.live.List(ctx, &services, client.Limit(page), client.Continue(next))
		if next != "" && apierrors.IsResourceExpired(err) { // the API server has forgotten where we were: all at once
			services = corev1.ServiceList{}
			err = a.live.List(ctx, &services)
		}
		if err != nil {
			return d, fmt.Errorf("listing Services: %w", err)
		}
		for i := range services.Items {
			if _, err := a.objects.saw(&services.Items[i]); err != nil {
				return d, err
			}
			d.services[keyOf(&services.Items[i])] = struct{}{}
		}
		next = services.Continue
	}
	var reservations v1beta1.IPReservationList
	if err := a.live.List(ctx, &reservations); err != nil {
		return d, fmt.Errorf("listing IPReservations: %w", err)
	}
	for i := range reservations.Items {
		if _, err := a.objects.saw(&reservations.Items[i]); err != nil {
			return d, err
		}
		d.reservations[keyOf(&reservations.Items[i])] = struct{}{}
	}
	return d, nil
}

// recall takes in when addresses were freed, as the pools remember it and as this process has seen it.
func (a *allocator) recall() {
	for i := range a.conf.Pools {
		var freed []alloc.Freed
		for _, f := range a.conf.Pools[i].Status.Freed {
			if ip, err := netip.ParseAddr(f.Address); err == nil {
				freed = append(freed, alloc.Freed{Addr: ip, At: f.At.Time})
			}
		}
		if p, usable := a.snap.Pool(a.conf.Pools[i].Name); usable {
			a.table.Recall(p.Name, a.witness.addTo(freed, p))
		}
	}
}

// pass looks at everything that is dirty.
func (a *allocator) pass(ctx context.Context, d dirty) error {
	began := a.now()
	if d.config {
		conf, err := configOf(ctx, a.objects.cache)
		if err != nil {
			return err
		}
		used, err := a.used.addresses(ctx)
		if err != nil {
			return err
		}
		if a.gaps, err = a.used.gaps(ctx); err != nil {
			return err
		}
		d.all = a.configure(conf, used) || d.all
	}
	maps.Copy(a.said, d.said)
	if d.speakers {
		maps.Copy(d.services, a.leaving)
	}
	a.admit(ctx, d)
	if err := a.widen(ctx, d); err != nil {
		return err
	}
	a.serve(ctx, d)
	a.metrics.pass(d.all, a.now().Sub(began))
	return nil
}

// admit marks Services of which there is another version than the one that was looked at last. Most versions are echoes of
// our own writes, known from the answers to them.
func (a *allocator) admit(ctx context.Context, d dirty) {
	for key := range d.moved {
		version, known := a.settled[key]
		if known {
			s, err := a.objects.service(ctx, key, d.gone)
			known = err == nil && s != nil && s.ResourceVersion == version
		}
		if !known {
			d.services[key] = struct{}{}
		}
	}
}

// widen marks all that is in a dirty namespace, or everything.
func (a *allocator) widen(ctx context.Context, d dirty) error {
	if d.all {
		services, err := a.objects.keys(ctx)
		if err != nil {
			return err
		}
		reservations, err := a.objects.reservations(ctx)
		if err != nil {
			return err
		}
		maps.Copy(d.services, services)
		maps.Copy(d.reservations, reservations)
		return nil
	}
	for n := range d.namespaces {
		services, reservations, err := a.objects.in(ctx, n)
		if err != nil {
			return err
		}
		maps.Copy(d.services, setOf(services))
		maps.Copy(d.reservations, setOf(reservations))
	}
	return nil
}

// configure takes the configuration over and tells whether Services may be affected.
func (a *allocator) configure(conf spec.Objects, used []spec.Occupied) bool {
	snap, probs := spec.Parse(conf)
	forbidden := forbiddenIn(snap.Pools, used)
	changed := a.snap == nil || !reflect.DeepEqual(a.snap.Pools, snap.Pools) || !slices.Equal(a.snap.Unusable, snap.Unusable) || !slices.Equal(a.forbidden, forbidden)
	a.conf, a.snap, a.probs, a.forbidden = conf, snap, probs, forbidden
	if changed {
		a.table.SetTime(a.now())
		a.table.SetForbidden(forbidden)
		a.table.SetPools(snap.Pools)
		a.table.SetUnusable(snap.Unusable)
	}
	return changed
}

// serve brings the dirty ones, and all whom that helps or hurts, to what they should be.
func (a *allocator) serve(ctx context.Context, d dirty) {
	a.table.SetTime(a.now())
	b := a.gather(ctx, d.services, d.reservations, d.gone)
	if a.eased() && !d.all { // those in want come before those who are new
		b.add(a.gather(ctx, minusSet(a.table.Pending(), d.services), minusSet(a.table.PendingReservations(), d.reservations), d.gone))
	}
	a.claim(ctx, b)
	services, reservations := a.displaced()
	if a.eased() {
		maps.Copy(services, setOf(a.table.Pending()))
		maps.Copy(reservations, setOf(a.table.PendingReservations()))
	}
	for len(services)+len(reservations) > 0 { // ends: a displaced claim takes nothing from its elders
		a.claim(ctx, a.gather(ctx, services, reservations, d.gone))
		services, reservations = a.displaced()
	}
	a.eased() // nobody is left whom it could help
	a.reportReservations(ctx, d.gone)
	a.publish()
}

func (a *allocator) displaced() (services, reservations keySet) {
	return setOf(a.table.TakeDisplaced()), setOf(a.table.TakeDisplacedReservations())
}

func setOf(keys []types.NamespacedName) keySet {
	out := make(keySet, len(keys))
	for _, k := range keys {
		out[k] = struct{}{}
	}
	return out
}

// minusSet returns the keys that are not in the set.
func minusSet(keys []types.NamespacedName, out keySet) keySet {
	rest := setOf(keys)
	for k := range out {
		delete(rest, k)
	}
	return rest
}

// gather returns those that are to have addresses.
func (a *allocator) gather(ctx context.Context, services, reservations keySet, gone map[types.UID]struct{}) (b batch) {
	for key := range services {
		if s := a.look(ctx, key, gone); s != nil {
			b.services = append(b.services, s)
		}
	}
	for key := range reservations {
		if r := a.lookReservation(ctx, key, gone); r != nil {
			b.reservations = append(b.reservations, r)
		}
	}
	return b
}

func (b *batch) add(o batch) {
	b.services, b.reservations = append(b.services, o.services...), append(b.reservations, o.reservations...)
}

// look returns the Service when it is to have addresses; when it is not, any more, it lets go of those it has. A Service
// whose patch is on its way is looked at again when that has returned.
func (a *allocator) look(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) *corev1.Service {
	s, err := a.objects.service(ctx, key, gone)
	switch {
	case err != nil:
		a.log.Error(err, "Service not read", "service", key.String())
		a.services.retries.after(key, a.now())
		return nil
	case s == nil:
		a.forget(key)
		return nil
	case a.services.outbox.busy(key):
		return nil
	case a.classes.Ours(s):
		return s
	}
	a.disown(s)
	return nil
}

// disown takes what is ours off a Service that is not ours any more: of another type, or of a class that the flags no
// longer say. The address is free when the status shows it no more. On a Service of a foreign class it is the condition
// that tells that we served it: whoever serves it may have written annotations.
func (a *allocator) disown(s *corev1.Service) {
	key := keyOf(s)
	_, served := a.table.Verdict(key)
	judged := meta.FindStatusCondition(s.Status.Conditions, v1beta1.ConditionAllocated) != nil
	if served || judged || s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		d := desired{}
		if (served || judged) && s.Annotations[v1beta1.AnnotationAllocatedFrom] != "" {
			d.finalize = dropFinalizer
		}
		a.write(s, d, nil)
	}
	if served && !shows(s) {
		a.release(key)
	}
}

// forget drops all that is known about a Service that is gone.
func (a *allocator) forget(key types.NamespacedName) {
	delete(a.leaving, key)
	delete(a.said, key)
	delete(a.settled, key)
	a.services.outbox.drop(key)
	a.services.retries.forget(key)
	a.release(key)
}

func (a *allocator) release(key types.NamespacedName) {
	delete(a.since, key)
	a.touched[key.Namespace] = true
	if freed := a.table.Release(key); len(freed) > 0 {
		a.helped = true
		a.log.Info("addresses released", "service", key.String(), "address", addrsOf(freed))
	}
}

// claim asks the table about all at once, so that it can keep to its order, and writes what differs.
func (a *allocator) claim(ctx context.Context, b batch) {
	labels := map[string]map[string]string{}
	services, reservations := make([]spec.Service, len(b.services)), make([]spec.Reservation, len(b.reservations))
	for i, s := range b.services {
		services[i] = spec.ParseService(s)
		services[i].NamespaceLabels = a.labels(ctx, s.Namespace, labels)
		a.helped = a.helped || services[i].SharingKey != "" // whoever has the same key may join it, or may no longer be in its way
	}
	for i, r := range b.reservations {
		reservations[i] = spec.ParseReservation(r)
		reservations[i].NamespaceLabels = a.labels(ctx, r.Namespace, labels)
		a.helped = true
	}
	for i, v := range a.table.ClaimAll(services, reservations...) {
		a.touched[v.Key.Namespace] = true
		if i < len(services) {
			a.conclude(ctx, b.services[i], &services[i], v)
		}
	}
}

// labels returns those of a namespace, each read once a batch.
func (a *allocator) labels(ctx context.Context, namespace string, read map[string]map[string]string) map[string]string {
	l, ok := read[namespace]
	if !ok {
		var err error
		if l, err = a.objects.labels(ctx, namespace); err != nil {
			a.log.Error(err, "Namespace not read", "namespace", namespace)
		}
		read[namespace] = l
	}
	return l
}

// conclude writes what follows for a Service from a verdict.
func (a *allocator) conclude(ctx context.Context, s *corev1.Service, parsed *spec.Service, v alloc.Verdict) {
	if _, known := a.since[v.Key]; !known && len(parsed.Held) == 0 {
		a.since[v.Key] = a.now()
	}
	if a.waitsForReservation(ctx, parsed.Reservation, v) {
		a.services.outbox.drop(v.Key)
		return // written asks for it when the reservation is
	}
	d := wish(s, v, a.now())
	d.finalize = a.finalizer(ctx, s, len(d.addrs) > 0)
	d.announced = a.said[v.Key].announcedOn(s, len(d.addrs) > 0, a.now())
	a.write(s, d, &v)
}

// write hands what differs to the writers.
func (a *allocator) write(s *corev1.Service, d desired, v *alloc.Verdict) {
	p, differs := diff(s, d)
	delete(a.settled, keyOf(s))
	if !differs {
		a.settled[keyOf(s)] = s.ResourceVersion
		a.services.outbox.drop(keyOf(s))
		return
	}
	p.verdict = v
	a.services.outbox.put(p) // if one is on its way already, written will ask for the next
}

// eased tells whether something has changed since it was last asked that may help somebody who lacks an address.
func (a *allocator) eased() bool {
	helped := a.helped
	now := make(map[string]alloc.Usage, len(a.snap.Pools))
	for _, p := range a.snap.Pools {
		u, was := a.table.Usage(p.Name), a.free[p.Name]
		now[p.Name] = u
		helped = helped || u.AvailableIPv4 > was.AvailableIPv4 || u.AvailableIPv6 > was.AvailableIPv6
	}
	a.free, a.helped = now, false
	return helped
}

// written takes in how a write ended.
func (a *allocator) written(r result) {
	key, of := r.patch.key, a.services
	if r.patch.reserves {
		of = a.reservations
	}
	of.outbox.done(key)
	a.metrics.write(of.kind, r.err)
	if r.err != nil {
		a.log.V(1).Info("not written", of.word, key.String(), "reason", r.err.Error())
		a.failed(of, key, r)
		return
	}
	of.retries.forget(key)
	after, err := a.objects.saw(r.after)
	if err != nil {
		a.log.Error(err, "answer not understood", of.word, key.String())
	}
	r.after = after
	a.helped = a.helped || len(r.patch.lost) > 0
	if r.patch.reserves {
		a.inbox.markReserved(key, len(r.patch.fresh) > 0)
	} else {
		a.inbox.mark(key) // what it let go of is free now, and what happened meanwhile is still to be looked at
	}
	a.account(r)
}

// failed has the object looked at again later. One that fails again and again needs somebody to act: its owner or whoever
// runs the cluster is told, once until it succeeds.
func (a *allocator) failed(of lane, key types.NamespacedName, r result) {
	if errors.Is(r.err, errFenced) { // we do not lead any more
		of.retries.after(key, a.now())
		return
	}
	if !of.retries.after(key, a.now()) {
		return
	}
	a.log.Error(r.err, "status refused again and again", of.word, key.String())
	a.metrics.stuck.WithLabelValues(of.kind).Inc()
	a.news.add(r.patch.about, notice{warning: true, reason: eventFailed, message: "the status cannot be written: " + r.err.Error()})
}

// account tells people and metrics about a write that succeeded.
func (a *allocator) account(r result) {
	a.news.add(r.after, r.patch.events...)
	v := r.patch.verdict
	if v == nil || r.patch.reserves || r.patch.announces {
		return
	}
	a.metrics.verdict(v.Allocated, string(v.Reason))
	a.tellKeepers(r)
	if len(r.patch.fresh) == 0 {
		return
	}
	if t, ok := a.since[v.Key]; ok {
		a.metrics.assignedAfter(a.now().Sub(t))
		delete(a.since, v.Key)
	}
	a.log.Info("addresses assigned", "service", v.Key.String(), "address", addrsOf(v.Addresses))
}

// tellKeepers tells those who keep an address that another Service had too, when that one has let go of it.
func (a *allocator) tellKeepers(r result) {
	for _, l := range r.patch.verdict.Lost {
		if !slices.Contains(r.patch.lost, l.Addr) || l.To.Name == "" {
			continue
		}
		a.log.Info("two had one address: the elder claim keeps it", "service", l.To.String(), "address", l.Addr.String(), "reason", r.patch.key.String())
		if s, err := a.objects.service(context.Background(), l.To, nil); err == nil && s != nil {
			a.news.add(s, notice{warning: true, reason: eventKept, message: fmt.Sprintf("keeps %s, which %s had too and has let go of", l.Addr, r.patch.key)})
		}
	}
}

func addrsOf(list []alloc.Assigned) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.Addr.String())
	}
	return out
}
