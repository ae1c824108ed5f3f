package speaker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// gatherer turns caches into the part of the World that the API server knows.
type gatherer struct {
	reader  client.Reader // the cache; what it returns is only read
	catalog func() *catalog
}

func (g gatherer) config(ctx context.Context) (o spec.Objects, err error) {
	var pools v1beta1.IPAddressPoolList
	var l2advs v1beta1.L2AdvertisementList
	if err := g.list(ctx, &pools, &l2advs); err != nil {
		return o, err
	}
	o.Pools, o.L2Advertisements = pools.Items, l2advs.Items
	return o, g.configBGP(ctx, &o)
}

// mostChanged is beyond how many Services that have changed a look at all is cheaper.
const mostChanged = 256

// some returns what has become of the Services that were found to have changed, false if it is better to look at all.
func (g gatherer) some(f found) (c plan.Change, ok bool) {
	if f.all || len(f.services) > mostChanged {
		return c, false
	}
	return g.catalog().some(f.services), true
}

// announced tells whether speakers announce the Service: it is of our class, our controller has marked it, and it stays.
func announced(classes kube.Classes, o *corev1.Service) bool {
	return classes.Ours(o) && o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && o.DeletionTimestamp == nil
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
