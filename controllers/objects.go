package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// objects is what the API server holds, as new as we know it: the cache, and over it what the cache has yet to see, the
// answers to our own writes and the first list. Objects are shared with the cache: nobody may change them.
type objects struct {
	cache client.Reader
	ahead map[types.NamespacedName]*corev1.Service
}

func newObjects(cache client.Reader) *objects {
	return &objects{cache: cache, ahead: map[types.NamespacedName]*corev1.Service{}}
}

// saw notes an object that came from the API server itself.
func (o *objects) saw(s *corev1.Service) error {
	if _, err := kube.Slim(s); err != nil {
		return err
	}
	o.ahead[keyOf(s)] = s
	return nil
}

// service returns the newest known version of a Service, nil when there is none. gone are the incarnations that the
// cache has seen vanish: what it does not show and has not seen vanish, it has yet to see.
func (o *objects) service(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) (*corev1.Service, error) {
	ahead := o.ahead[key]
	cached := &corev1.Service{}
	switch err := o.cache.Get(ctx, key, cached); {
	case apierrors.IsNotFound(err):
		if ahead == nil {
			return nil, nil
		}
		if _, vanished := gone[ahead.UID]; vanished {
			delete(o.ahead, key)
			return nil, nil
		}
		return ahead, nil
	case err != nil:
		return nil, fmt.Errorf("reading Service %s from the cache: %w", key, err)
	}
	if ahead != nil && newer(ahead, cached) {
		return ahead, nil
	}
	delete(o.ahead, key)
	return cached, nil
}

// newer tells whether a is a later version than b. Versions that are no numbers cannot be compared: then the cache is right.
func newer(a, b client.Object) bool {
	n, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && n > 0
}

// keys returns the keys of all Services that are known.
func (o *objects) keys(ctx context.Context) (map[types.NamespacedName]struct{}, error) {
	var list corev1.ServiceList
	if err := o.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Services in the cache: %w", err)
	}
	keys := make(map[types.NamespacedName]struct{}, len(list.Items))
	for i := range list.Items {
		keys[keyOf(&list.Items[i])] = struct{}{}
	}
	for k := range o.ahead {
		keys[k] = struct{}{}
	}
	return keys, nil
}

// configOf reads what users configured.
func configOf(ctx context.Context, r client.Reader) (spec.Objects, error) {
	var pools v1beta1.IPAddressPoolList
	var l2 v1beta1.L2AdvertisementList
	for _, list := range []client.ObjectList{&pools, &l2} {
		if err := r.List(ctx, list); err != nil {
			return spec.Objects{}, fmt.Errorf("listing the configuration: %w", err)
		}
	}
	return spec.Objects{Pools: pools.Items, L2Advertisements: l2.Items}, nil
}
