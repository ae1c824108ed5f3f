package controllers

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// bgpReporter writes the status of BGPPeers, BGPAdvertisements, Communities and BFDProfiles, where it is not so yet: from what
// users configured, what nodes are like, and what speakers say of their sessions.
type bgpReporter struct {
	log       logr.Logger
	informers cache.Informers
	cache     client.Reader // what it returns is only read
	classes   kube.Classes
	rules     spec.NodeRules
	namespace string    // of the speaker Pods
	writer    *reporter // of its own, that nobody else runs
	wake      chan struct{}
}

// watched is what the cache holds for it.
func (r *bgpReporter) watched() []client.Object {
	return append(r.own(), &v1beta1.IPAddressPool{}, &v1beta1.SpeakerStatus{}, &corev1.Node{}, &corev1.Pod{}, &corev1.Service{})
}

// own are the kinds that it writes.
func (r *bgpReporter) own() []client.Object {
	return []client.Object{&v1beta1.BGPPeer{}, &v1beta1.BGPAdvertisement{}, &v1beta1.Community{}, &v1beta1.BFDProfile{}}
}

// NeedLeaderElection keeps it to the leader.
func (r *bgpReporter) NeedLeaderElection() bool { return true }

// Start writes what differs until ctx ends, in one round a second at most.
func (r *bgpReporter) Start(ctx context.Context) error {
	for _, kind := range r.watched() {
		informer, err := r.informers.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(r.handler()); err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.log.V(1).Info("status not written", "reason", err.Error())
			r.poke()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reportEvery):
		}
	}
}

func (r *bgpReporter) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *bgpReporter) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: r.seen,
		UpdateFunc: func(was, is any) {
			if !reflect.DeepEqual(r.counts(was), r.counts(is)) {
				r.poke()
			}
		},
		DeleteFunc: func(o any) { r.seen(final(o)) },
	}
}

func (r *bgpReporter) seen(o any) {
	if r.counts(o) != nil {
		r.poke()
	}
}

// counts is what counts of an object; nil if nothing does. Of a Service, that clients are to stay with one node; of a
// SpeakerStatus, its sessions but for the number of routes, and whether BFD is up.
func (r *bgpReporter) counts(o any) any {
	switch o := o.(type) {
	case *corev1.Service:
		if !r.affine(o) {
			return nil
		}
		return []any{heldBy(o), o.Labels, o.Annotations[v1beta1.AnnotationAllocatedFrom]}
	case *corev1.Node:
		return spec.ParseNode(o)
	case *corev1.Pod:
		return []any{o.Spec.NodeName, o.Status.Conditions}
	case *v1beta1.SpeakerStatus:
		said := []any{o.Status.State, o.Status.Members.Missing}
		for _, p := range o.Status.BGP.Peers {
			said = append(said, p.Name, p.State, p.Reason, p.Message)
			if p.BFD != nil {
				said = append(said, p.BFD.State, p.BFD.Message)
			}
		}
		return said
	case *v1beta1.IPAddressPool:
		return []any{o.Generation, o.UID, o.Labels}
	case client.Object: // ours: somebody may have touched its status
		return []any{o.GetUID(), o.GetResourceVersion()}
	}
	return o
}

// affine tells whether a Service of ours wants its clients to stay with one node.
func (r *bgpReporter) affine(s *corev1.Service) bool {
	return s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP && r.classes.Ours(s) && s.Annotations[v1beta1.AnnotationAllocatedFrom] != ""
}

// round reads everything and writes what differs.
func (r *bgpReporter) round(ctx context.Context) error {
	objects, err := bgpConfigOf(ctx, r.cache)
	if err != nil {
		return err
	}
	known, err := r.routing(ctx, objects)
	if err != nil {
		return err
	}
	said := bgpSaid{readiness{}, map[string]v1beta1.BGPPeerStatus{}, map[string]int{}}
	var failed error
	for _, err := range []error{
		r.peers(ctx, known, objects.BGPPeers, said), r.advertisements(ctx, known, objects.BGPAdvertisements, said),
		r.communities(ctx, known, objects.Communities, said), r.profiles(ctx, known, objects.BFDProfiles, said),
	} {
		failed = first(failed, err)
	}
	r.writer.metrics.bgp(said)
	return failed
}

func (r *bgpReporter) peers(ctx context.Context, known *routing, all []v1beta1.BGPPeer, said bgpSaid) (failed error) {
	for i := range all {
		o, is := &all[i], known.peer(&all[i])
		said.ready.add("BGPPeer", is.Conditions)
		if !o.Spec.Template {
			said.peers[o.Name] = is
		}
		failed = first(failed, writeStatus(ctx, r.writer, o, &o.Status, is, peerNews))
	}
	return failed
}

func (r *bgpReporter) advertisements(ctx context.Context, known *routing, all []v1beta1.BGPAdvertisement, said bgpSaid) (failed error) {
	for i := range all {
		o := &all[i]
		is := v1beta1.BGPAdvertisementStatus{ObservedGeneration: o.Generation, Conditions: with(o.Status.Conditions, known.advertisement(o))}
		said.ready.add("BGPAdvertisement", is.Conditions)
		failed = first(failed, writeStatus(ctx, r.writer, o, &o.Status, is, peerNews))
	}
	return failed
}

func (r *bgpReporter) communities(ctx context.Context, known *routing, all []v1beta1.Community, said bgpSaid) (failed error) {
	for i := range all {
		o, by := &all[i], known.config.BGP.CommunityUsers[all[i].Name]
		is := v1beta1.CommunityStatus{
			ObservedGeneration: o.Generation,
			Users:              users(by),
			Conditions:         with(o.Status.Conditions, ready(known.facts("Community", o.Name, o.Generation), "its names may be used")),
		}
		said.ready.add("Community", is.Conditions)
		said.communities[o.Name] = len(by)
		failed = first(failed, writeStatus(ctx, r.writer, o, &o.Status, is, peerNews))
	}
	return failed
}

func (r *bgpReporter) profiles(ctx context.Context, known *routing, all []v1beta1.BFDProfile, said bgpSaid) (failed error) {
	for i := range all {
		o := &all[i]
		is := v1beta1.BFDProfileStatus{
			ObservedGeneration: o.Generation,
			Users:              users(known.config.BGP.ProfileUsers[o.Name]),
			Conditions:         with(o.Status.Conditions, ready(known.facts("BFDProfile", o.Name, o.Generation), "it may be used")),
		}
		said.ready.add("BFDProfile", is.Conditions)
		failed = first(failed, writeStatus(ctx, r.writer, o, &o.Status, is, peerNews))
	}
	return failed
}

// with returns the conditions with one of them set.
func with(list []metav1.Condition, c metav1.Condition) []metav1.Condition {
	list = slices.Clone(list)
	meta.SetStatusCondition(&list, c)
	return list
}

// writeStatus writes a status that differs, and tells what is news in its conditions.
func writeStatus[T any](ctx context.Context, w *reporter, o client.Object, was *T, is T, news func(was, is []metav1.Condition) []notice) error {
	if equality.Semantic.DeepEqual(*was, is) {
		return nil
	}
	return w.write(ctx, o, is, news(conditionsIn(*was), conditionsIn(is)))
}

func conditionsIn(status any) []metav1.Condition {
	switch s := status.(type) {
	case v1beta1.BGPPeerStatus:
		return s.Conditions
	case v1beta1.BGPAdvertisementStatus:
		return s.Conditions
	case v1beta1.CommunityStatus:
		return s.Conditions
	case v1beta1.BFDProfileStatus:
		return s.Conditions
	}
	return nil
}

// routing gathers what the statuses are made from.
func (r *bgpReporter) routing(ctx context.Context, objects spec.Objects) (*routing, error) {
	var nodes corev1.NodeList
	var pods corev1.PodList
	var statuses v1beta1.SpeakerStatusList
	var services corev1.ServiceList
	for l, o := range map[client.ObjectList][]client.ListOption{
		&nodes: nil, &statuses: nil, &services: nil,
		&pods: {client.InNamespace(r.namespace), client.MatchingLabels(kube.SpeakerPodLabels())},
	} {
		if err := r.cache.List(ctx, l, append(o, client.UnsafeDisableDeepCopy)...); err != nil {
			return nil, fmt.Errorf("listing %T: %w", l, err)
		}
	}
	speaks := map[string]bool{}
	for i := range pods.Items {
		speaks[pods.Items[i].Spec.NodeName] = true
	}
	counted := counting(statuses.Items, readySpeakers(nodes.Items, pods.Items))
	byNode := map[string]*v1beta1.SpeakerStatus{}
	for _, s := range counted {
		byNode[s.Name] = s
	}
	var all []plan.Node
	for i := range nodes.Items {
		all = append(all, planNode(&nodes.Items[i], byNode[nodes.Items[i].Name]))
	}
	slices.SortFunc(all, func(a, b plan.Node) int { return strings.Compare(a.Name, b.Name) })
	plan.Settle(all, r.rules)
	config, problems := spec.Parse(objects)
	var affine []plan.Service
	for i := range services.Items {
		if s := &services.Items[i]; r.affine(s) {
			affine = append(affine, plan.Service{Service: new(spec.ParseService(s))})
		}
	}
	slices.SortFunc(affine, func(a, b plan.Service) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	problems = append(problems, plan.AffinityProblems(config, affine)...)
	return newRouting(config, problems, all, speaks, counted), nil
}

// bgpConfigOf reads what users configured of BGP, and the pools that advertisements select.
func bgpConfigOf(ctx context.Context, r client.Reader) (spec.Objects, error) {
	var pools v1beta1.IPAddressPoolList
	var peers v1beta1.BGPPeerList
	var advertisements v1beta1.BGPAdvertisementList
	var communities v1beta1.CommunityList
	var profiles v1beta1.BFDProfileList
	for _, list := range []client.ObjectList{&pools, &peers, &advertisements, &communities, &profiles} {
		if err := r.List(ctx, list); err != nil {
			return spec.Objects{}, fmt.Errorf("listing the configuration: %w", err)
		}
	}
	return spec.Objects{
		Pools: pools.Items, BGPPeers: peers.Items, BGPAdvertisements: advertisements.Items,
		Communities: communities.Items, BFDProfiles: profiles.Items,
	}, nil
}
