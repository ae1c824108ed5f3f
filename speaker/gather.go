package speaker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// gatherer turns caches into the part of the World that the API server knows.
type gatherer struct {
	reader  client.Reader // the cache; what it returns is only read
	classes kube.Classes
	slices  sliceNames
}

// sliceNames are the names of the EndpointSlices of each Service that is announced.
type sliceNames map[types.NamespacedName]map[types.NamespacedName]bool

func (g gatherer) config(ctx context.Context) (o spec.Objects, err error) {
	var pools v1beta1.IPAddressPoolList
	var l2advs v1beta1.L2AdvertisementList
	if err := g.list(ctx, &pools, &l2advs); err != nil {
		return o, err
	}
	o.Pools, o.L2Advertisements = pools.Items, l2advs.Items
	return o, g.configBGP(ctx, &o)
}

// services returns those to announce, by namespace and name.
func (g gatherer) services(ctx context.Context) ([]plan.Service, error) {
	var list corev1.ServiceList
	var endpoints discoveryv1.EndpointSliceList
	if err := g.list(ctx, &list, &endpoints); err != nil {
		return nil, err
	}
	slicesOf := byService(endpoints.Items)
	clear(g.slices)
	var services []plan.Service
	for i := range list.Items {
		if o := &list.Items[i]; announced(g.classes, o) {
			s := parse(o, slicesOf)
			services = append(services, s)
			g.slices[s.Key] = map[types.NamespacedName]bool{}
			for _, e := range slicesOf[s.Key] {
				g.slices[s.Key][types.NamespacedName{Namespace: e.Namespace, Name: e.Name}] = true
			}
		}
	}
	slices.SortFunc(services, func(a, b plan.Service) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return services, nil
}

func parse(o *corev1.Service, slicesOf map[types.NamespacedName][]discoveryv1.EndpointSlice) plan.Service {
	s := spec.ParseService(o)
	return plan.Service{
		Service: s, Endpoints: spec.ParseEndpoints(slicesOf[s.Key]),
		Announced: meta.IsStatusConditionTrue(o.Status.Conditions, v1beta1.ConditionAnnounced),
	}
}

// some returns the Services that were found to have changed, false if that takes a look at all of them: one has come or gone.
func (g gatherer) some(ctx context.Context, f found) (services []plan.Service, ok bool) {
	for slice, service := range f.slices {
		if names := g.slices[service]; names != nil {
			names[slice] = true
		}
	}
	for key := range f.services {
		var o corev1.Service
		if err := g.reader.Get(ctx, key, &o); err != nil || !announced(g.classes, &o) || g.slices[key] == nil {
			return nil, false
		}
		own := map[types.NamespacedName][]discoveryv1.EndpointSlice{}
		for name := range g.slices[key] {
			var e discoveryv1.EndpointSlice
			err := g.reader.Get(ctx, name, &e)
			switch {
			case apierrors.IsNotFound(err):
				delete(g.slices[key], name)
			case err != nil:
				return nil, false
			case serviceOf(&e) == key:
				own[key] = append(own[key], e)
			}
		}
		services = append(services, parse(&o, own))
	}
	return services, true
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

// nodes returns all of the cluster, by name.
func (g gatherer) nodes(ctx context.Context) ([]spec.Node, error) {
	var list corev1.NodeList
	if err := g.list(ctx, &list); err != nil {
		return nil, err
	}
	nodes := make([]spec.Node, len(list.Items))
	for i := range list.Items {
		nodes[i] = spec.ParseNode(&list.Items[i])
	}
	slices.SortFunc(nodes, func(a, b spec.Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes, nil
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
