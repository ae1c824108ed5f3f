package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Reasons of the Ready condition of our own kinds, besides those of their problems.
const (
	// reasonValid: the object is in use.
	reasonValid = "Valid"
)

// reportEvery is how long the reporter rests after each round, so that thousands of assignments are a few writes.
const reportEvery = time.Second

// facts is what the status of our own kinds is to say. Nobody changes it once it is made.
type facts struct {
	pools map[string]poolFacts
	l2    map[string]objectFacts
}

type objectFacts struct {
	generation int64
	problem    *spec.Problem // nil: none
}

type poolFacts struct {
	objectFacts
	ranges   []spec.Range
	disabled bool
	usage    alloc.Usage
	freed    []alloc.Freed
	gaps     []gap             // what it could not be checked against
	overlaps []alloc.Forbidden // addresses of it that the cluster uses itself
}

// publish hands the present facts to the reporter.
func (a *allocator) publish() {
	problems := map[string]*spec.Problem{}
	for _, p := range a.probs {
		if first := problems[p.Kind+"/"+p.Name]; first != nil {
			first.Message += "; " + p.Message
			continue
		}
		problems[p.Kind+"/"+p.Name] = &p
	}
	f := &facts{pools: map[string]poolFacts{}, l2: map[string]objectFacts{}}
	for i := range a.conf.Pools {
		o := &a.conf.Pools[i]
		pf := poolFacts{objectFacts: objectFacts{o.Generation, problems["IPAddressPool/"+o.Name]}, gaps: a.gaps, usage: a.table.Usage(o.Name), freed: a.table.Freed(o.Name)}
		if p, found := a.snap.Pool(o.Name); found {
			pf.ranges, pf.disabled, pf.overlaps = p.Ranges, p.Disabled, alloc.Forbids(a.forbidden, p.Ranges)
		}
		f.pools[o.Name] = pf
		a.metrics.pool(o.Name, pf.usage)
	}
	for _, o := range a.conf.L2Advertisements {
		f.l2[o.Name] = objectFacts{o.Generation, problems["L2Advertisement/"+o.Name]}
	}
	for name := range a.shown {
		if _, exists := f.pools[name]; !exists {
			a.metrics.poolGone(name)
		}
	}
	a.shown = f.pools
	a.metrics.pending.Set(float64(a.table.Lacking()))
	a.report.take(f)
}

// reporter writes the status of our own kinds, where it is not so yet.
type reporter struct {
	log     logr.Logger
	cache   client.Reader
	client  client.Client
	metrics *metrics
	tell    func(client.Object, notice) bool
	keeps   bool // the controller is to keep objects of its own: quickstart

	failures  map[string]int // in a row, by kind and name
	facts     atomic.Pointer[facts]
	hints     atomic.Pointer[map[string]hint] // by advertisement
	wake      chan struct{}
	allocated chan struct{} // closed when no more facts will come
}

// take replaces the facts and wakes the reporter; it never waits.
func (r *reporter) take(f *facts) {
	r.facts.Store(f)
	r.poke()
}

// hint replaces what is known of advertisements from the nodes of the cluster, and wakes the reporter if that is news.
func (r *reporter) hint(h map[string]hint) {
	if was := r.hints.Swap(&h); was == nil || !reflect.DeepEqual(*was, h) {
		r.poke()
	}
}

func (r *reporter) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// NeedLeaderElection keeps it to the leader.
func (r *reporter) NeedLeaderElection() bool { return true }

// Start writes what differs until ctx ends, in one round a second at most.
func (r *reporter) Start(ctx context.Context) error {
	rest := time.NewTicker(reportEvery)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.last(ctx)
		case <-r.wake:
		}
		if err := r.round(ctx); err != nil {
			r.log.V(1).Info("status not written", "reason", err.Error())
			r.poke()
		}
		rest.Reset(reportEvery)
		select {
		case <-ctx.Done():
			return r.last(ctx)
		case <-rest.C:
		}
	}
}

// last writes what is left to write in an orderly end, so that the next leader knows which addresses rest.
func (r *reporter) last(ctx context.Context) error {
	<-r.allocated
	select {
	case <-r.wake:
	default:
		return nil
	}
	if err := r.round(context.WithoutCancel(ctx)); err != nil {
		r.log.V(1).Info("status not written", "reason", err.Error())
	}
	return nil
}

func (r *reporter) round(ctx context.Context) error {
	f := r.facts.Load()
	if f == nil {
		return nil // the allocator will wake it again
	}
	objects, err := configOf(ctx, r.cache)
	if err != nil {
		return err
	}
	var failed error
	said := readiness{}
	for i := range objects.Pools {
		o := &objects.Pools[i]
		if pf, known := f.pools[o.Name]; known {
			failed = first(failed, r.pool(ctx, o, pf))
		}
		said.add("IPAddressPool", o.Status.Conditions)
	}
	for i := range objects.L2Advertisements {
		o := &objects.L2Advertisements[i]
		if of, known := f.l2[o.Name]; known {
			failed = first(failed, r.l2(ctx, o, of, r.hinted(o.Name)))
		}
		said.add("L2Advertisement", o.Status.Conditions)
	}
	r.metrics.configuration(said, "IPAddressPool", "L2Advertisement")
	return failed
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (r *reporter) pool(ctx context.Context, o *v1beta1.IPAddressPool, f poolFacts) error {
	was := o.Status
	o.Status = f.status(was)
	is := f.ready()
	news := f.news(meta.FindStatusCondition(was.Conditions, v1beta1.ConditionReady), is)
	meta.SetStatusCondition(&o.Status.Conditions, is)
	if f.problem == nil {
		meta.SetStatusCondition(&o.Status.Conditions, f.exhausted())
	} else {
		meta.RemoveStatusCondition(&o.Status.Conditions, v1beta1.ConditionExhausted)
	}
	if len(f.gaps) > 0 {
		meta.SetStatusCondition(&o.Status.Conditions, f.unchecked())
	} else {
		meta.RemoveStatusCondition(&o.Status.Conditions, v1beta1.ConditionUnchecked)
	}
	left, _ := markForeign(o, "IPAddressPool", r.keeps, &o.Status.Conditions)
	if equality.Semantic.DeepEqual(was, o.Status) {
		return nil
	}
	return r.write(ctx, o, o.Status, append(news, left...))
}

// hinted returns what the nodes make of an advertisement, nothing while that is not known.
func (r *reporter) hinted(name string) hint {
	if h := r.hints.Load(); h != nil {
		return (*h)[name]
	}
	return hint{}
}

// l2 writes the condition of an advertisement. A problem of its own comes before one that the nodes make. What is told of
// interfaces names a node, which may be another the next time: that alone is no reason to write.
func (r *reporter) l2(ctx context.Context, o *v1beta1.L2Advertisement, f objectFacts, h hint) error {
	if f.problem == nil {
		f.problem = h.problem
	}
	left, differs := markForeign(o, "L2Advertisement", r.keeps, &o.Status.Conditions)
	is := ready(f, "it is in use"+h.words)
	was := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionReady)
	if !differs && was != nil && was.Reason == is.Reason && o.Status.ObservedGeneration == f.generation && was.ObservedGeneration == f.generation {
		if h.problem != nil && f.problem == h.problem || was.Message == is.Message {
			return nil
		}
	}
	var news []notice
	if was == nil || was.Reason != is.Reason || was.Message != is.Message {
		news = f.news()
	}
	o.Status.ObservedGeneration = f.generation
	meta.SetStatusCondition(&o.Status.Conditions, is)
	return r.write(ctx, o, o.Status, append(news, left...))
}

func ready(f objectFacts, words string) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonValid,
		Message: words, ObservedGeneration: f.generation}
	if f.problem != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(f.problem.Reason), f.problem.Message
	}
	return c
}

// wholeStatus is a merge patch that leaves nothing of the old status: what is zero is required too, and what is empty goes.
func wholeStatus(o client.Object, status any) ([]byte, error) {
	fields := map[string]json.RawMessage{} // raw: an int64 does not survive as any
	switch o.(type) {
	case *v1beta1.IPAddressPool:
		fields = map[string]json.RawMessage{"assigned": nil, "available": nil, "freed": nil}
	case *v1beta1.BGPPeer:
		fields = map[string]json.RawMessage{"wanted": nil, "established": nil, "sessions": nil}
	case *v1beta1.Community, *v1beta1.BFDProfile:
		fields = map[string]json.RawMessage{"users": nil}
	}
	b, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.GetResourceVersion()}, "status": fields})
}

func (r *reporter) write(ctx context.Context, o client.Object, status any, news []notice) error {
	kind := reflect.TypeOf(o).Elem().Name()
	body, err := wholeStatus(o, status)
	if err != nil {
		return fmt.Errorf("encoding the status of %s %s: %w", kind, o.GetName(), err)
	}
	err = r.client.Status().Patch(context.WithoutCancel(ctx), o, client.RawPatch(types.MergePatchType, body))
	r.metrics.write(kind, err)
	if err := r.streak(kind, o.GetName(), err); err != nil {
		return err
	}
	for _, n := range news {
		if !r.tell(o, n) {
			r.log.V(1).Info("event not written", "reason", "too many wait")
		}
	}
	return nil
}

// streak counts failures in a row, and tells of many once. A fenced write says nothing about the object.
func (r *reporter) streak(kind, name string, err error) error {
	of := kind + "/" + name
	if err == nil {
		delete(r.failures, of)
		return nil
	}
	err = fmt.Errorf("writing the status of %s %s: %w", kind, name, err)
	if errors.Is(err, errFenced) {
		return err
	}
	if r.failures[of]++; r.failures[of] == stuckAfter {
		r.log.Error(err, "status refused again and again")
		r.metrics.stuck.WithLabelValues(kind).Inc()
	}
	return err
}

// news is what is worth an event when the condition has changed.
func (f objectFacts) news() []notice {
	if f.problem == nil {
		return nil
	}
	return []notice{{warning: true, reason: string(f.problem.Reason), message: f.problem.Message}}
}
