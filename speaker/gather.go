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

// sliceNames are the names of the EndpointSlices of each Service that is announced. They are in its namespace.
type sliceNames map[types.NamespacedName][]string

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
	services := make([]plan.Service, 0, len(list.Items))
	for i := range list.Items {
		if o := &list.Items[i]; announced(g.classes, o) {
			s := parse(o, slicesOf[client.ObjectKeyFromObject(o)])
			services = append(services, s)
			g.slices[s.Key] = namesOf(slicesOf[s.Key])
		}
	}
	slices.SortFunc(services, func(a, b plan.Service) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return services, nil
}

func parse(o *corev1.Service, endpoints []discoveryv1.EndpointSlice) plan.Service {
	return plan.Service{
		Service: spec.ParseService(o), Endpoints: spec.ParseEndpoints(endpoints),
		Announced: isAnnounced(o),
	}
}

// isAnnounced tells whether a Service says of itself that its addresses are announced.
func isAnnounced(o *corev1.Service) bool {
	return meta.IsStatusConditionTrue(o.Status.Conditions, v1beta1.ConditionAnnounced)
}

func namesOf(endpoints []discoveryv1.EndpointSlice) []string {
	names := make([]string, len(endpoints))
	for i, e := range endpoints {
		names[i] = e.Name
	}
	return names
}

// Beyond so many Services a look at all is cheaper.
const (
	mostChanged = 256 // that have changed
	mostNew     = 8   // that are new, so that their endpoints are looked for one by one
)

// some returns what has become of the Services that were found to have changed, false if it is better to look at all.
func (g gatherer) some(ctx context.Context, f found) (c plan.Change, ok bool) {
	if f.all || len(f.services) > mostChanged {
		return c, false
	}
	for slice, service := range f.slices {
		if names, known := g.slices[service]; known && !slices.Contains(names, slice.Name) {
			g.slices[service] = append(names, slice.Name)
		}
	}
	news := 0
	for key := range f.services {
		o, err := g.service(ctx, key)
		if err != nil {
			return c, false
		}
		_, known := g.slices[key]
		if o == nil {
			if known {
				delete(g.slices, key)
				c.Gone = append(c.Gone, key)
			}
			continue
		}
		if known = known && !f.anew[key]; !known {
			news++
		}
		if news > mostNew {
			return c, false
		}
		endpoints, err := g.endpoints(ctx, key, known)
		if err != nil {
			return c, false
		}
		g.slices[key] = namesOf(endpoints)
		c.Services = append(c.Services, parse(o, endpoints))
	}
	return c, true
}

// service returns one that is announced, nil if it is not.
func (g gatherer) service(ctx context.Context, key types.NamespacedName) (*corev1.Service, error) {
	var o corev1.Service
	err := g.reader.Get(ctx, key, &o)
	if apierrors.IsNotFound(err) || err == nil && !announced(g.classes, &o) {
		return nil, nil
	}
	return &o, err
}

// endpoints returns the slices of one Service, by their names if these are known.
func (g gatherer) endpoints(ctx context.Context, service types.NamespacedName, known bool) (of []discoveryv1.EndpointSlice, _ error) {
	if !known {
		var list discoveryv1.EndpointSliceList
		err := g.reader.List(ctx, &list, client.UnsafeDisableDeepCopy, client.InNamespace(service.Namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: service.Name})
		return list.Items, err
	}
	for _, name := range g.slices[service] {
		var e discoveryv1.EndpointSlice
		err := g.reader.Get(ctx, types.NamespacedName{Namespace: service.Namespace, Name: name}, &e)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err == nil && serviceOf(&e) == service {
			of = append(of, e)
		}
	}
	return of, nil
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
