package kube

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// WithClusterIP selects the EndpointSlices that are not of a headless Service, which cannot be of type LoadBalancer.
func WithClusterIP() labels.Selector {
	s, err := labels.Parse("!" + corev1.IsHeadlessService)
	if err != nil {
		panic(err) // a constant
	}
	return s
}

// SlimEndpointSlice keeps what spec.ParseEndpoints reads, once: a hundred alike endpoints on a node are one.
func SlimEndpointSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
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
