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
	"github.com/belfry-lb/belfry/internal/spec"
)

// objects is what the API server holds, as new as we know it: the cache, and over it what the cache has yet to see, the
// answers to our own writes and the first list. Objects are shared with the cache: nobody may change them.
type objects struct {
	cache    client.Reader
	slim     *slimmer
	ahead    map[types.NamespacedName]*corev1.Service
	reserved map[types.NamespacedName]*v1beta1.IPReservation // the same of reservations
}

func newObjects(cache client.Reader, slim *slimmer) *objects {
	return &objects{
		cache: cache, slim: slim, ahead: map[types.NamespacedName]*corev1.Service{},
		reserved: map[types.NamespacedName]*v1beta1.IPReservation{},
	}
}

// saw notes an object that came from the API server itself, and returns it as it is kept.
func (o *objects) saw(object client.Object) (client.Object, error) {
	slim, err := o.slim.slim(object)
	if err != nil {
		return object, err
	}
	switch x := slim.(type) {
	case *corev1.Service:
		o.ahead[keyOf(x)] = x
		return x, nil
	case *v1beta1.IPReservation:
		o.reserved[keyOf(x)] = x
	}
	return object, nil
}

// service returns the newest known version of a Service, nil when there is none.
func (o *objects) service(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) (*corev1.Service, error) {
	s, ok, err := newest(ctx, o.cache, o.ahead, &corev1.Service{}, key, gone)
	if !ok {
		return nil, err
	}
	return s, nil
}

// reservation is the same of a reservation.
func (o *objects) reservation(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) (*v1beta1.IPReservation, error) {
	r, ok, err := newest(ctx, o.cache, o.reserved, &v1beta1.IPReservation{}, key, gone)
	if !ok {
		return nil, err
	}
	return r, nil
}

// newest returns the newest known version of an object; false when there is none. gone are the incarnations that the
// cache has seen vanish: what it does not show and has not seen vanish, it has yet to see.
func newest[T client.Object](ctx context.Context, cache client.Reader, all map[types.NamespacedName]T, cached T, key types.NamespacedName, gone map[types.UID]struct{}) (T, bool, error) {
	ahead, known := all[key]
	switch err := cache.Get(ctx, key, cached); {
	case apierrors.IsNotFound(err):
		if !known {
			return cached, false, nil
		}
		if _, vanished := gone[ahead.GetUID()]; vanished {
			delete(all, key)
			return cached, false, nil
		}
		return ahead, true, nil
	case err != nil:
		return cached, false, fmt.Errorf("reading %T %s from the cache: %w", cached, key, err)
	}
	if known && newer(ahead, cached) {
		return ahead, true, nil
	}
	delete(all, key)
	return cached, true, nil
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

// reservations returns the keys of all IPReservations that are known.
func (o *objects) reservations(ctx context.Context) (map[types.NamespacedName]struct{}, error) {
	var list v1beta1.IPReservationList
	if err := o.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing IPReservations in the cache: %w", err)
	}
	keys := make(map[types.NamespacedName]struct{}, len(list.Items))
	for i := range list.Items {
		keys[keyOf(&list.Items[i])] = struct{}{}
	}
	for k := range o.reserved {
		keys[k] = struct{}{}
	}
	return keys, nil
}

// in returns the keys of the Services and reservations of a namespace that the cache knows.
func (o *objects) in(ctx context.Context, namespace string) (services, reservations []types.NamespacedName, err error) {
	var s corev1.ServiceList
	var r v1beta1.IPReservationList
	for _, list := range []client.ObjectList{&s, &r} {
		if err := o.cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, nil, fmt.Errorf("listing %T in the cache: %w", list, err)
		}
	}
	for i := range s.Items {
		services = append(services, keyOf(&s.Items[i]))
	}
	for i := range r.Items {
		reservations = append(reservations, keyOf(&r.Items[i]))
	}
	return services, reservations, nil
}

// labels returns the labels of a namespace; none when the cache does not know it yet: its event will come.
func (o *objects) labels(ctx context.Context, namespace string) (map[string]string, error) {
	var n corev1.Namespace
	err := client.IgnoreNotFound(o.cache.Get(ctx, types.NamespacedName{Name: namespace}, &n))
	if err != nil {
		return nil, fmt.Errorf("reading Namespace %s from the cache: %w", namespace, err)
	}
	return n.Labels, nil
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
