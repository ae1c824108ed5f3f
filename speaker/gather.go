package speaker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/members"
)

// gatherer turns caches and the group's roster into the World that a plan is made from.
type gatherer struct {
	reader  client.Reader // the cache; what it returns is only read
	classes kube.Classes
	rules   spec.NodeRules
	log     logr.Logger
	book    book
}

func (g gatherer) world(ctx context.Context, roster []members.Member) (plan.World, error) {
	var w plan.World
	var err error
	if w.Config, err = g.config(ctx); err != nil {
		return w, err
	}
	if w.Services, err = g.services(ctx); err != nil {
		return w, err
	}
	w.Nodes, err = g.nodes(ctx, roster)
	return w, err
}

func (g gatherer) config(ctx context.Context) (*spec.Snapshot, error) {
	var pools v1beta1.IPAddressPoolList
	var l2advs v1beta1.L2AdvertisementList
	if err := g.list(ctx, &pools, &l2advs); err != nil {
		return nil, err
	}
	o := spec.Objects{Pools: pools.Items, L2Advertisements: l2advs.Items}
	if err := g.configBGP(ctx, &o); err != nil {
		return nil, err
	}
	// The controller reports the problems; a speaker works with what is left.
	snapshot, _ := spec.Parse(o)
	return snapshot, nil
}

// services returns those to announce, by namespace and name.
func (g gatherer) services(ctx context.Context) ([]plan.Service, error) {
	var list corev1.ServiceList
	var endpoints discoveryv1.EndpointSliceList
	if err := g.list(ctx, &list, &endpoints); err != nil {
		return nil, err
	}
	slicesOf := byService(endpoints.Items)
	var services []plan.Service
	for i := range list.Items {
		if o := &list.Items[i]; announced(g.classes, o) {
			s := spec.ParseService(o)
			services = append(services, plan.Service{Service: s, Endpoints: spec.ParseEndpoints(slicesOf[s.Key])})
		}
	}
	slices.SortFunc(services, func(a, b plan.Service) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return services, nil
}

// announced tells whether speakers announce the Service: it is of our class, our controller has marked it, and it stays.
func announced(classes kube.Classes, o *corev1.Service) bool {
	return classes.Ours(o) && o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && o.DeletionTimestamp == nil
}

func byService(endpoints []discoveryv1.EndpointSlice) map[types.NamespacedName][]discoveryv1.EndpointSlice {
	m := map[types.NamespacedName][]discoveryv1.EndpointSlice{}
	for i := range endpoints {
		key := serviceOf(&endpoints[i])
		m[key] = append(m[key], endpoints[i])
	}
	return m
}

func serviceOf(e *discoveryv1.EndpointSlice) types.NamespacedName {
	return types.NamespacedName{Namespace: e.Namespace, Name: e.Labels[discoveryv1.LabelServiceName]}
}

// nodes joins the cluster's Nodes with what their speakers tell.
func (g gatherer) nodes(ctx context.Context, roster []members.Member) ([]plan.Node, error) {
	var list corev1.NodeList
	if err := g.list(ctx, &list); err != nil {
		return nil, err
	}
	alive := make(map[string]members.Member, len(roster))
	for _, m := range roster {
		alive[m.Name] = m
	}
	present := make(map[string]bool, len(list.Items))
	nodes := make([]plan.Node, len(list.Items))
	for i := range list.Items {
		n := plan.Node{Node: spec.ParseNode(&list.Items[i])}
		if m, ok := alive[n.Name]; ok {
			f := g.facts(m)
			n.Alive, n.Ready, n.Interfaces, n.Dataplane = true, m.State == members.Ready, f.Interfaces, f.Dataplane
			n.BGP = f.BGP.plan()
		}
		nodes[i], present[n.Name] = n, true
	}
	g.book.keep(present)
	plan.Settle(nodes, g.rules)
	slices.SortFunc(nodes, func(a, b plan.Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes, nil
}

// facts returns what the member tells of its node: no interfaces, so that it is no candidate, if it tells them in a way that
// this version does not understand.
func (g gatherer) facts(m members.Member) facts {
	f, err := g.book.read(m.Name, m.Facts)
	if err != nil {
		g.log.Error(err, "Speaker not understood, its node is no candidate; do both run the same version?", "node", m.Name)
	}
	return f
}

// list fills each list from the cache without copying the objects.
func (g gatherer) list(ctx context.Context, lists ...client.ObjectList) error {
	for _, l := range lists {
		if err := g.reader.List(ctx, l, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing %T: %w", l, err)
		}
	}
	return nil
}
