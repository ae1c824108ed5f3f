package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// cacheOptions let a cache hold no more than a controller reads, on a standby too, and hand out what it holds itself.
func cacheOptions(namespace string, s *slimmer) cache.Options {
	own := map[string]cache.Config{namespace: {}}
	shared := new(true)
	return cache.Options{
		DefaultTransform: s.slim,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Service{}:            {UnsafeDisableDeepCopy: shared},
			&v1beta1.IPReservation{}:     {UnsafeDisableDeepCopy: shared},
			&corev1.Namespace{}:          {UnsafeDisableDeepCopy: shared},
			&corev1.Pod{}:                {UnsafeDisableDeepCopy: shared, Namespaces: own, Label: labels.SelectorFromSet(kube.SpeakerPodLabels())},
			&v1beta1.SpeakerStatus{}:     {UnsafeDisableDeepCopy: shared},
			&discoveryv1.EndpointSlice{}: {UnsafeDisableDeepCopy: shared, Label: kube.WithClusterIP()},
			&corev1.Node{}:               {UnsafeDisableDeepCopy: shared},
		},
	}
}

// slimmer makes objects small that are kept by the thousand. It knows what they share.
type slimmer struct {
	vip         *corev1.LoadBalancerIPMode
	annotations kube.Shared[map[string]string]
	ports       kube.Shared[[]corev1.ServicePort]
	families    kube.Shared[[]corev1.IPFamily]
}

func newSlimmer() *slimmer { return &slimmer{vip: new(corev1.LoadBalancerIPModeVIP)} }

// slim is a cache transform, also of what comes from the API server past the cache. What it drops is read by nobody here.
func (s *slimmer) slim(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.Service:
		return s.service(o), nil
	case *discoveryv1.EndpointSlice:
		return kube.SlimEndpointSlice(o), nil
	case *corev1.Node:
		slimNode(o)
	case *corev1.Pod:
		slimPod(o)
	case *corev1.Namespace:
		o.Annotations, o.Spec, o.Status = nil, corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
	}
	return kube.Slim(o)
}

// service keeps what addresses are given by, and all that is written back whole. Of a Service of another type that is what
// tells that it was ours.
func (s *slimmer) service(o *corev1.Service) *corev1.Service {
	kept := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: kube.One(o.Namespace), Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion, Generation: o.Generation,
			CreationTimestamp: o.CreationTimestamp, DeletionTimestamp: o.DeletionTimestamp, Finalizers: o.Finalizers,
			Annotations: s.wishes(o.Annotations),
		},
		Spec:   corev1.ServiceSpec{Type: kube.One(o.Spec.Type)},
		Status: corev1.ServiceStatus{Conditions: o.Status.Conditions, LoadBalancer: o.Status.LoadBalancer},
	}
	for i := range kept.Status.Conditions {
		c := &kept.Status.Conditions[i]
		c.Type, c.Status, c.Reason = kube.One(c.Type), kube.One(c.Status), kube.One(c.Reason)
	}
	for i := range kept.Status.LoadBalancer.Ingress {
		if in := &kept.Status.LoadBalancer.Ingress[i]; in.IPMode != nil && *in.IPMode == *s.vip {
			in.IPMode = s.vip
		}
	}
	if o.Spec.Type == corev1.ServiceTypeLoadBalancer {
		kept.Labels, kept.Spec = o.Labels, s.spec(&o.Spec)
	}
	return kept
}

// spec leaves out what packets need on their way. What the API server fills in alike for thousands is shared.
func (s *slimmer) spec(o *corev1.ServiceSpec) corev1.ServiceSpec {
	kept := corev1.ServiceSpec{
		Type: kube.One(o.Type), LoadBalancerClass: one(o.LoadBalancerClass), LoadBalancerIP: o.LoadBalancerIP, IPFamilyPolicy: one(o.IPFamilyPolicy),
		IPFamilies:            s.families.One(fmt.Sprint(o.IPFamilies), o.IPFamilies),
		ExternalTrafficPolicy: kube.One(o.ExternalTrafficPolicy), SessionAffinity: kube.One(o.SessionAffinity),
	}
	if len(o.IPFamilies) == 0 {
		kept.ClusterIPs = o.ClusterIPs // they tell the families of those that do not say
	}
	var words strings.Builder
	ports := make([]corev1.ServicePort, len(o.Ports))
	for i, p := range o.Ports {
		ports[i] = corev1.ServicePort{Protocol: kube.One(p.Protocol), Port: p.Port}
		fmt.Fprintln(&words, p.Protocol, p.Port)
	}
	kept.Ports = s.ports.One(words.String(), ports)
	return kept
}

// wishes keeps the annotations that somebody here may read.
func (s *slimmer) wishes(all map[string]string) map[string]string {
	var kept map[string]string
	var words strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(wishPrefixes(), func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[kube.One(name)] = all[name]
		fmt.Fprintf(&words, "%s %q\n", name, all[name])
	}
	return s.annotations.One(words.String(), kept)
}

func wishPrefixes() []string {
	return []string{v1beta1.Group + "/", v1beta1.MetalLBPrefix, v1beta1.OldMetalLBPrefix}
}

func one[T ~string](word *T) *T {
	if word == nil {
		return nil
	}
	return new(kube.One(*word))
}

// slimPod keeps where a Pod is, and whether it is Ready.
func slimPod(p *corev1.Pod) {
	var ready []corev1.PodCondition
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready = append(ready, corev1.PodCondition{Type: c.Type, Status: c.Status})
		}
	}
	p.Annotations, p.Spec, p.Status = nil, corev1.PodSpec{NodeName: p.Spec.NodeName}, corev1.PodStatus{Conditions: ready}
}

// slimNode drops what is big. Annotations stay: BGPPeers may take values from any of them.
func slimNode(n *corev1.Node) {
	status := corev1.NodeStatus{Addresses: n.Status.Addresses}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Type == corev1.NodeNetworkUnavailable {
			status.Conditions = append(status.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status})
		}
	}
	n.Status = status
}
