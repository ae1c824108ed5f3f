package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// usedByCluster learns which addresses are used without us, so that none of them is ever handed out: those of the
// flags, of Nodes and their pods, of ServiceCIDRs where they are served (Kubernetes 1.33 and newer), and those that the
// status of a Service shows which is not ours, or not any more.
type usedByCluster struct {
	cache    client.Reader
	classes  kube.Classes
	services []spec.Occupied // --service-cidrs
	pods     []spec.Occupied // --pod-cidrs
	cidrs    bool            // ServiceCIDRs are served
}

func newUsedByCluster(cache client.Reader, mapper meta.RESTMapper, o Options) (*usedByCluster, error) {
	u := &usedByCluster{cache: cache, classes: o.Classes}
	var err error
	if u.services, err = spec.ParseOccupied("Service CIDR", o.ServiceCIDRs); err != nil {
		return nil, fmt.Errorf("--service-cidrs: %w", err)
	}
	if u.pods, err = spec.ParseOccupied("pod CIDR", o.PodCIDRs); err != nil {
		return nil, fmt.Errorf("--pod-cidrs: %w", err)
	}
	u.cidrs, err = serves(mapper, networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR"))
	return u, err
}

// serves tells whether the API server knows the kind.
func serves(mapper meta.RESTMapper, kind schema.GroupVersionKind) (bool, error) {
	_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether %s is served: %w", kind.Kind, err)
	}
	return true, nil
}

// watched is what the cache must hold for it.
func (u *usedByCluster) watched() []client.Object {
	if u.cidrs {
		return []client.Object{&corev1.Node{}, &networkingv1.ServiceCIDR{}}
	}
	return []client.Object{&corev1.Node{}}
}

// addresses lists what is used, in a fixed order.
func (u *usedByCluster) addresses(ctx context.Context) ([]spec.Occupied, error) {
	all := slices.Concat(u.services, u.pods)
	var nodes corev1.NodeList
	if err := u.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	for i := range nodes.Items {
		all = append(all, occupiedBy(&nodes.Items[i])...)
	}
	var services corev1.ServiceList
	if err := u.cache.List(ctx, &services, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	for i := range services.Items {
		if foreign(u.classes, &services.Items[i]) {
			all = append(all, spec.OccupiedByForeign(&services.Items[i])...)
		}
	}
	var cidrs networkingv1.ServiceCIDRList
	if u.cidrs {
		if err := u.cache.List(ctx, &cidrs, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing ServiceCIDRs: %w", err)
		}
	}
	for i := range cidrs.Items {
		all = append(all, occupiedBy(&cidrs.Items[i])...)
	}
	slices.SortFunc(all, func(a, b spec.Occupied) int {
		return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(all), nil
}

// gap is something that could not be learnt about the cluster, against which pools are not checked then.
type gap struct{ what, why, flag string }

// String is the gap in words for whoever runs the cluster.
func (g gap) String() string {
	return fmt.Sprintf("%s are not known, because %s: pools are not checked against them; give %s", g.what, g.why, g.flag)
}

// gaps lists what could not be learnt.
func (u *usedByCluster) gaps(ctx context.Context) (list []gap, _ error) {
	if !u.cidrs && len(u.services) == 0 {
		list = append(list, gap{"Service CIDRs", "ServiceCIDR is not served", "--service-cidrs, in the chart controller.serviceCIDRs"})
	}
	var nodes corev1.NodeList
	if err := u.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	some := slices.ContainsFunc(nodes.Items, func(n corev1.Node) bool { return len(n.Spec.PodCIDRs) > 0 })
	if !some && len(u.pods) == 0 {
		list = append(list, gap{"pod CIDRs", "no Node has spec.podCIDRs", "--pod-cidrs, in the chart controller.podCIDRs"})
	}
	return list, nil
}

// foreign tells whether another controller gives the Service its addresses.
func foreign(c kube.Classes, s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && !c.Ours(s)
}

func occupiedBy(o any) []spec.Occupied {
	switch o := o.(type) {
	case *corev1.Node:
		return spec.OccupiedByNode(o)
	case *networkingv1.ServiceCIDR:
		return spec.OccupiedByServices(o)
	}
	return nil
}

// forbiddenIn returns what of it lies in a pool: the rest nobody would hand out anyway, and it may come and go.
func forbiddenIn(pools []spec.Pool, used []spec.Occupied) []alloc.Forbidden {
	var ranges []spec.Range
	for _, p := range pools {
		ranges = append(ranges, p.Ranges...)
	}
	all := make([]alloc.Forbidden, len(used))
	for i, u := range used {
		all[i] = alloc.Forbidden{Range: u.Range, What: u.What}
	}
	return alloc.Forbids(all, ranges)
}
