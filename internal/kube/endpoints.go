package kube

import (
	"slices"

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

// SlimEndpointSlice keeps what spec.ParseEndpoints reads: a hundred alike endpoints on a node are one with a hundred blank
// addresses.
func SlimEndpointSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	type kind struct{ node, ready, serving any }
	at := map[kind]int{}
	var kinds []discoveryv1.Endpoint
	var counts []int
	yes, no := new(true), new(false)
	for _, e := range o.Endpoints {
		k := kind{value(e.NodeName), value(e.Conditions.Ready), value(e.Conditions.Serving)}
		i, seen := at[k]
		if !seen {
			i = len(kinds)
			at[k], counts = i, append(counts, 0)
			kinds = append(kinds, discoveryv1.Endpoint{
				NodeName:   shared(e.NodeName),
				Conditions: discoveryv1.EndpointConditions{Ready: either(e.Conditions.Ready, yes, no), Serving: either(e.Conditions.Serving, yes, no)},
			})
		}
		counts[i] += max(len(e.Addresses), 1)
	}
	count(kinds, counts)
	return &discoveryv1.EndpointSlice{
		AddressType: One(o.AddressType),
		ObjectMeta: metav1.ObjectMeta{
			Namespace: One(o.Namespace), Name: o.Name, ResourceVersion: o.ResourceVersion,
			Labels: map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]},
		},
		Endpoints: append([]discoveryv1.Endpoint(nil), kinds...), // not more than these
	}
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

// either returns one of two that say the same: a byte of its own holds on to the block in which it came, with all that is
// small in it.
func either(b, yes, no *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return yes
	}
	return no
}

// shared lets all slices hold one copy of a node's name.
func shared(name *string) *string {
	if name == nil {
		return nil
	}
	return new(One(*name))
}
