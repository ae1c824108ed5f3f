package speaker

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// CacheOptions let a cache hold no more than a speaker reads, which every node pays for: of Services those of type
// LoadBalancer, of Pods and Secrets its own kind's in its own namespace, of SpeakerStatuses its own, and of each object
// what matters.
func CacheOptions(node, namespace string) cache.Options {
	own := map[string]cache.Config{namespace: {}}
	return cache.Options{
		DefaultTransform:            slim,
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Service{}:            {Field: fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))},
			&discoveryv1.EndpointSlice{}: {Label: kube.WithClusterIP()},
			&corev1.Pod{}:                {Namespaces: own, Label: labels.SelectorFromSet(labels.Set(PodLabels()))},
			&corev1.Secret{}:             {Namespaces: own, Field: fields.OneTermEqualSelector("metadata.name", kube.GossipSecret)},
			&v1beta1.SpeakerStatus{}:     {Field: fields.OneTermEqualSelector("metadata.name", node)},
		},
	}
}

// slim is a cache transform. What it drops is big and read by nobody here.
func slim(o any) (any, error) {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		return kube.SlimEndpointSlice(o), nil
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesAttached, o.Status.VolumesInUse = nil, nil, nil
	case *corev1.Pod:
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName}
		o.Status = corev1.PodStatus{Phase: o.Status.Phase, PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs}
	}
	return kube.Slim(o)
}
