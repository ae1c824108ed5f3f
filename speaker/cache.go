package speaker

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
			&discoveryv1.EndpointSlice{}: {Label: withClusterIP()},
			&corev1.Pod{}:                {Namespaces: own, Label: labels.SelectorFromSet(labels.Set(PodLabels()))},
			&corev1.Secret{}:             {Namespaces: own, Field: fields.OneTermEqualSelector("metadata.name", kube.GossipSecret)},
			&v1beta1.SpeakerStatus{}:     {Field: fields.OneTermEqualSelector("metadata.name", node)},
		},
	}
}

// withClusterIP selects the EndpointSlices that are not of a headless Service, which cannot be of type LoadBalancer.
func withClusterIP() labels.Selector {
	s, err := labels.Parse("!" + corev1.IsHeadlessService)
	if err != nil {
		panic(err) // a constant
	}
	return s
}

// slim is a cache transform. What it drops is big and read by nobody here.
func slim(o any) (any, error) {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		return slimSlice(o), nil
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesAttached, o.Status.VolumesInUse = nil, nil, nil
	case *corev1.Pod:
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName}
		o.Status = corev1.PodStatus{Phase: o.Status.Phase, PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs}
	}
	return kube.Slim(o)
}

// slimSlice keeps what spec.ParseEndpoints reads, once: a hundred alike endpoints on a node are one.
func slimSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	kept := &discoveryv1.EndpointSlice{AddressType: o.AddressType, ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion,
		Labels: map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]},
	}}
	type kind struct{ node, ready, serving any }
	seen := map[kind]bool{}
	for _, e := range o.Endpoints {
		k := kind{value(e.NodeName), value(e.Conditions.Ready), value(e.Conditions.Serving)}
		if seen[k] {
			continue
		}
		seen[k] = true
		kept.Endpoints = append(kept.Endpoints, discoveryv1.Endpoint{
			NodeName:   shared(e.NodeName),
			Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready, Serving: e.Conditions.Serving},
		})
	}
	return kept
}

func value[T comparable](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// shared lets all slices hold one copy of a node's name.
func shared(name *string) *string {
	if name == nil {
		return nil
	}
	one := unique.Make(*name).Value()
	return &one
}
