package speaker

import (
	"slices"
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
			&corev1.Secret{}:             {Namespaces: own, Field: fields.OneTermNotEqualSelector("type", helmRelease)},
			&v1beta1.SpeakerStatus{}:     {Field: fields.OneTermEqualSelector("metadata.name", node)},
		},
	}
}

// helmRelease is the type of the Secrets in which helm keeps releases: up to a megabyte each, and none has a password of ours.
const helmRelease = "helm.sh/release.v1"

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

// slimSlice keeps what spec.ParseEndpoints reads: a hundred alike endpoints on a node are one with a hundred addresses, all of
// them blank.
func slimSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	kept := &discoveryv1.EndpointSlice{AddressType: o.AddressType, ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion,
		Labels: map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]},
	}}
	type kind struct{ node, ready, serving any }
	at := map[kind]int{}
	var counts []int
	for _, e := range o.Endpoints {
		k := kind{value(e.NodeName), value(e.Conditions.Ready), value(e.Conditions.Serving)}
		i, seen := at[k]
		if !seen {
			i = len(kept.Endpoints)
			at[k], counts = i, append(counts, 0)
			kept.Endpoints = append(kept.Endpoints, discoveryv1.Endpoint{
				NodeName:   shared(e.NodeName),
				Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready, Serving: e.Conditions.Serving},
			})
		}
		counts[i] += max(len(e.Addresses), 1)
	}
	count(kept.Endpoints, counts)
	return kept
}

// count gives each endpoint as many blank addresses as it stands for, none where that is one. All share one array.
func count(endpoints []discoveryv1.Endpoint, counts []int) {
	if len(counts) == 0 || slices.Max(counts) == 1 {
		return
	}
	blank := make([]string, slices.Max(counts))
	for i, n := range counts {
		if n > 1 {
			endpoints[i].Addresses = blank[:n:n]
		}
	}
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
