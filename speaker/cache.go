package speaker

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// CacheOptions let a cache hold no more than a speaker reads, which every node pays for: of Services those of type
// LoadBalancer, of Pods and Secrets its own kind's in its own namespace, of SpeakerStatuses its own, and of each object
// what matters.
func CacheOptions(node, namespace string, classes kube.Classes) cache.Options {
	own := map[string]cache.Config{namespace: {}}
	return cache.Options{
		DefaultTransform:            newSlimmer(classes).slim,
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

// slimmer makes small what caches hold.
type slimmer struct {
	classes kube.Classes
	pools   kube.Shared[[]string] // lists of pools, which many Services share
}

func newSlimmer(classes kube.Classes) *slimmer {
	return &slimmer{classes: classes}
}

// slim is a cache transform. What it drops is big and read by nobody here.
func (s *slimmer) slim(o any) (any, error) {
	switch o := o.(type) {
	case *knownService, *knownSlice: // they have been here before
		return o, nil
	case *corev1.Service:
		return s.service(o), nil
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

func (s *slimmer) service(o *corev1.Service) *knownService {
	o.Namespace = kube.One(o.Namespace)
	kept := &knownService{Version: o.ResourceVersion, Concern: concernOf(s.classes, o), Announced: isAnnounced(o)}
	if kept.Concern == foreign {
		kept.Key, kept.Announced = types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, false
		return kept
	}
	kept.Service = spec.ParseHolder(o)
	kept.Pools = s.pools.One(strings.Join(kept.Pools, ","), kept.Pools)
	for i, l := range kept.Labels {
		if kept.Labels[i].Key = kube.One(l.Key); l.Value == o.Name {
			kept.Labels[i].Value = o.Name // as it mostly is in some of them
		}
	}
	for i := range kept.Ports {
		kept.Ports[i].Protocol = kube.One(kept.Ports[i].Protocol)
	}
	return kept
}

func slimSlice(o *discoveryv1.EndpointSlice) *knownSlice {
	for i := range o.Endpoints {
		if name := o.Endpoints[i].NodeName; name != nil {
			*name = kube.One(*name)
		}
	}
	return &knownSlice{
		Slice: spec.ParseSlice(o), Key: types.NamespacedName{Namespace: kube.One(o.Namespace), Name: o.Name},
		Service: o.Labels[discoveryv1.LabelServiceName], Version: o.ResourceVersion,
	}
}
