package speaker

import (
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// matters passes over the updates that come all the time and say nothing new to a plan: heartbeats of Nodes, the
// controller's reports on pools and Services, endpoints that change where their nodes and their number stay.
func matters(classes kube.Classes, before, after any) bool {
	switch b := before.(type) {
	case *corev1.Service:
		return serviceChanged(classes, b, after.(*corev1.Service))
	case *corev1.Node:
		return !reflect.DeepEqual(spec.ParseNode(b), spec.ParseNode(after.(*corev1.Node)))
	case *discoveryv1.EndpointSlice:
		return sliceChanged(b, after.(*discoveryv1.EndpointSlice))
	case *corev1.Pod:
		return podChanged(b, after.(*corev1.Pod))
	case *corev1.Secret:
		return !reflect.DeepEqual(b.Data, after.(*corev1.Secret).Data)
	case *v1beta1.IPAddressPool, *v1beta1.L2Advertisement, *v1beta1.BGPPeer, *v1beta1.BGPAdvertisement, *v1beta1.Community,
		*v1beta1.BFDProfile:
		return specChanged(before.(client.Object), after.(client.Object))
	}
	return true
}

// notable is what the next pass should know and nobody makes one for: that a Service has been announced, by whomever.
func notable(before, after any) bool {
	b, is := before.(*corev1.Service)
	return is && isAnnounced(b) != isAnnounced(after.(*corev1.Service))
}

func serviceChanged(classes kube.Classes, a, b *corev1.Service) bool {
	was, is := announced(classes, a), announced(classes, b)
	if !was || !is {
		return was != is || leaves(classes, a) != leaves(classes, b)
	}
	return !reflect.DeepEqual(spec.ParseService(a), spec.ParseService(b))
}

// sliceChanged compares one slice's share of the Service's endpoints. Ready and serving ones are compared apart, because
// which of them count depends on the Service's other slices.
func sliceChanged(a, b *discoveryv1.EndpointSlice) bool {
	return serviceOf(a) != serviceOf(b) ||
		!spec.EndpointsOf(a, true).Equal(spec.EndpointsOf(b, true)) ||
		!spec.EndpointsOf(a, false).Equal(spec.EndpointsOf(b, false))
}

func podChanged(a, b *corev1.Pod) bool {
	return staying(a) != staying(b) || a.Spec.NodeName != b.Spec.NodeName ||
		podAddr(a, true) != podAddr(b, true) || podAddr(a, false) != podAddr(b, false)
}

// specChanged: a status does not count in the generation.
func specChanged(a, b client.Object) bool {
	return a.GetGeneration() != b.GetGeneration() || a.GetUID() != b.GetUID() || !maps.Equal(a.GetLabels(), b.GetLabels())
}
