package speaker

import (
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// matters passes over the updates that come all the time and say nothing new to a plan: heartbeats of Nodes, the
// controller's reports on pools.
func matters(before, after any) bool {
	switch b := before.(type) {
	case *corev1.Node:
		return !reflect.DeepEqual(spec.ParseNode(b), spec.ParseNode(after.(*corev1.Node)))
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

func podChanged(a, b *corev1.Pod) bool {
	return staying(a) != staying(b) || a.Spec.NodeName != b.Spec.NodeName ||
		podAddr(a, true) != podAddr(b, true) || podAddr(a, false) != podAddr(b, false)
}

// specChanged: a status does not count in the generation.
func specChanged(a, b client.Object) bool {
	return a.GetGeneration() != b.GetGeneration() || a.GetUID() != b.GetUID() || !maps.Equal(a.GetLabels(), b.GetLabels())
}
