package speaker

import (
	"slices"
	"sync"

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
		DefaultTransform:            newSlimmer().slim,
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Service{}:            {Field: fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))},
			&discoveryv1.EndpointSlice{}: {Label: kube.WithClusterIP()},
			&corev1.Pod{}:                {Namespaces: own, Label: labels.SelectorFromSet(labels.Set(PodLabels()))},
			&corev1.Secret{}:             {Namespaces: own, Field: fields.OneTermNotEqualSelector("type", helmRelease)},
			&v1beta1.SpeakerStatus{}:     {Field: fields.OneTermEqualSelector("metadata.name", node)},
		},
	}
}

// helmRelease is the type of the Secrets in which helm keeps releases: up to a megabyte each, and none has a password of ours.
const helmRelease = "helm.sh/release.v1"

// slimmer knows what slim objects share.
type slimmer struct {
	finalizers []string
	mu         sync.Mutex
	pools      map[string]map[string]string // the annotations of Services, by the pools that they name
}

// mostPools bounds what somebody can have kept who writes there whatever comes to mind. There are fewer pools.
const mostPools = 1000

func newSlimmer() *slimmer {
	return &slimmer{finalizers: []string{v1beta1.ServiceFinalizer}, pools: map[string]map[string]string{}}
}

// slim is a cache transform. What it drops is big and read by nobody here.
func (s *slimmer) slim(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.Service:
		return s.service(o), nil
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

// service keeps what a plan is made from: not what the Service wishes for, which the controller has seen to.
func (s *slimmer) service(o *corev1.Service) *corev1.Service {
	kept := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: kube.One(o.Namespace), Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
			CreationTimestamp: o.CreationTimestamp, DeletionTimestamp: o.DeletionTimestamp, Labels: o.Labels,
		},
		Spec: corev1.ServiceSpec{
			Type: kube.One(o.Spec.Type), LoadBalancerClass: o.Spec.LoadBalancerClass, IPFamilies: o.Spec.IPFamilies, ClusterIPs: o.Spec.ClusterIPs,
			ExternalTrafficPolicy: kube.One(o.Spec.ExternalTrafficPolicy), SessionAffinity: kube.One(o.Spec.SessionAffinity),
		},
	}
	if pools, is := o.Annotations[v1beta1.AnnotationAllocatedFrom]; is {
		kept.Annotations = s.allocatedFrom(pools)
	}
	if slices.Contains(o.Finalizers, v1beta1.ServiceFinalizer) {
		kept.Finalizers = s.finalizers
	}
	if len(o.Spec.IPFamilies) > 0 {
		kept.Spec.ClusterIPs = nil // they tell the families of those that do not say
	}
	kept.Spec.Ports = make([]corev1.ServicePort, len(o.Spec.Ports))
	for i, p := range o.Spec.Ports {
		kept.Spec.Ports[i] = corev1.ServicePort{Protocol: kube.One(p.Protocol), Port: p.Port}
	}
	kept.Status.LoadBalancer.Ingress = make([]corev1.LoadBalancerIngress, len(o.Status.LoadBalancer.Ingress))
	for i, in := range o.Status.LoadBalancer.Ingress {
		kept.Status.LoadBalancer.Ingress[i].IP = in.IP
	}
	for _, c := range o.Status.Conditions {
		if c.Type == v1beta1.ConditionAllocated || c.Type == v1beta1.ConditionAnnounced {
			kept.Status.Conditions = append(kept.Status.Conditions, metav1.Condition{
				Type: kube.One(c.Type), Status: kube.One(c.Status), LastTransitionTime: c.LastTransitionTime,
			})
		}
	}
	return kept
}

func (s *slimmer) allocatedFrom(pools string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.pools[pools]
	if !known {
		if m = map[string]string{v1beta1.AnnotationAllocatedFrom: pools}; len(s.pools) < mostPools {
			s.pools[pools] = m
		}
	}
	return m
}
