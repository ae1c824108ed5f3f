package speaker

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Of Services and EndpointSlices there are many, and each node keeps them all. So its caches hold, in place of the objects,
// what a plan is made from.

// knownService is what is kept of a Service. Of one that a speaker has nothing to do with that is its name.
type knownService struct {
	spec.Service
	Version   string // its resourceVersion, by which caches tell news
	Concern   concern
	Announced bool // it says of itself that its addresses are announced
}

// concern is what a speaker has to do with a Service.
type concern uint8

const (
	foreign concern = iota // nothing
	ours                   // it is to be announced
	leaving                // it is being deleted, and waits for the speakers
)

// GetObjectMeta is by what a cache tells objects apart.
func (s *knownService) GetObjectMeta() metav1.Object { return metaOf(s.Key, s.Version) }

// knownSlice is what is kept of an EndpointSlice.
type knownSlice struct {
	spec.Slice
	Key     types.NamespacedName
	Service string // its name
	Version string
}

// GetObjectMeta is by what a cache tells objects apart.
func (s *knownSlice) GetObjectMeta() metav1.Object { return metaOf(s.Key, s.Version) }

// of names the Service, which is in the same namespace.
func (s *knownSlice) of() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Key.Namespace, Name: s.Service}
}

func metaOf(key types.NamespacedName, version string) metav1.Object {
	return &metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, ResourceVersion: version}
}

func concernOf(classes kube.Classes, o *corev1.Service) concern {
	switch {
	case announced(classes, o):
		return ours
	case leaves(classes, o):
		return leaving
	}
	return foreign
}

// isAnnounced tells whether a Service says of itself that its addresses are announced.
func isAnnounced(o *corev1.Service) bool {
	return meta.IsStatusConditionTrue(o.Status.Conditions, v1beta1.ConditionAnnounced)
}

// changed tells whether a plan may be another for it. None is known before it comes.
func (s *knownService) changed(before *knownService) bool {
	if before == nil {
		return s.Concern != foreign
	}
	return s.Concern != before.Concern || !reflect.DeepEqual(s.Service, before.Service)
}
