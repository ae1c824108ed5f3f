package controllers

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// on returns the handler for a kind: a Service and its endpoints concern that Service, all else everybody.
func (c *changes) on(kind client.Object) toolscache.ResourceEventHandler {
	mark := func(any) { c.mark(true) }
	switch kind.(type) {
	case *corev1.Service:
		mark = func(o any) { c.mark(false, keyOf(final(o))) }
	case *discoveryv1.EndpointSlice:
		mark = func(o any) { c.mark(false, serviceOf(final(o))) }
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: mark,
		UpdateFunc: func(was, is any) {
			if announcementMayChange(was, is) {
				mark(was)
				mark(is)
			}
		},
		DeleteFunc: mark,
	}
}

func serviceOf(slice client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: slice.GetNamespace(), Name: slice.GetLabels()[discoveryv1.LabelServiceName]}
}

// announcementMayChange passes over the updates that come all the time and mean nothing here: heartbeats, our own reports.
func announcementMayChange(was, is any) bool {
	switch was := was.(type) {
	case *corev1.Node:
		return !reflect.DeepEqual(spec.ParseNode(was), spec.ParseNode(is.(*corev1.Node)))
	case *v1beta1.SpeakerStatus:
		return routesAside(was, is.(*v1beta1.SpeakerStatus))
	case *corev1.Pod:
		return !reflect.DeepEqual(was.Status, is.(*corev1.Pod).Status) || was.Spec.NodeName != is.(*corev1.Pod).Spec.NodeName
	case *discoveryv1.EndpointSlice:
		is := is.(*discoveryv1.EndpointSlice)
		return !reflect.DeepEqual(was.Endpoints, is.Endpoints) || serviceOf(was) != serviceOf(is)
	case *v1beta1.IPAddressPool, *v1beta1.L2Advertisement, *v1beta1.BGPPeer, *v1beta1.BGPAdvertisement, *v1beta1.Community:
		a, b := was.(client.Object), is.(client.Object)
		return a.GetGeneration() != b.GetGeneration() || !reflect.DeepEqual(a.GetLabels(), b.GetLabels())
	}
	return true
}
