package speaker

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestPlanning tells which events lead to a pass.
func TestPlanning(t *testing.T) {
	yes, class := true, "other.example/lb"
	on := func(service, node string) any {
		return slim[*knownSlice](t, newSlice(service, service, endpoint(node, &yes, &yes)))
	}
	of := func(name string, change ...func(*corev1.Service)) any {
		return slim[*knownService](t, newService(name, change...))
	}
	unmarked := func(s *corev1.Service) { s.Annotations = nil }
	leaving := func(s *corev1.Service) {
		s.DeletionTimestamp, s.Finalizers = &metav1.Time{}, []string{v1beta1.ServiceFinalizer}
	}
	s := &Speaker{live: newCatalog(), changed: newSignal()}
	nodes, services, slices := s.planning(), s.followServices(), s.followSlices()
	tests := []struct {
		name  string
		event func()
		want  bool
	}{
		{"a Node comes", func() { nodes.OnAdd(newNode("n1"), false) }, true},
		{"a Node's heartbeat", func() { nodes.OnUpdate(newNode("n1"), newNode("n1")) }, false},
		{"a Service comes", func() { services.OnAdd(of("web"), false) }, true},
		{"a foreign one comes", func() { services.OnAdd(of("foreign", unmarked), false) }, false},
		{"a resync", func() { services.OnUpdate(of("web"), of("web")) }, false},
		{"its address", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) { s.Status.LoadBalancer.Ingress[0].IP = "192.0.2.101" }))
		}, true},
		{"its traffic policy", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = "Local" }))
		}, true},
		{"its pool", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) { s.Annotations[v1beta1.AnnotationAllocatedFrom] = "other" }))
		}, true},
		{"an annotation of its own", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) { s.Annotations["x"] = "y" }))
		}, false},
		{"a wish", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) { s.Annotations[v1beta1.AnnotationPool] = "other" }))
		}, false},
		{"our condition on it", func() {
			services.OnUpdate(of("web"), of("web", func(s *corev1.Service) {
				s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAnnounced, Status: metav1.ConditionTrue}}
			}))
		}, false},
		{"it is ours no more", func() { services.OnUpdate(of("web"), of("web", unmarked)) }, true},
		{"it is ours again", func() { services.OnUpdate(of("web", unmarked), of("web")) }, true},
		{"another class's", func() {
			services.OnUpdate(of("other", unmarked), of("other", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class }))
		}, false},
		{"it changes and is not ours", func() {
			services.OnUpdate(of("foreign", unmarked), of("foreign", unmarked, func(s *corev1.Service) { s.Spec.Ports = nil }))
		}, false},
		{"one that was never announced waits for the speakers", func() {
			services.OnUpdate(of("foreign", unmarked), of("foreign", unmarked, leaving))
		}, true},
		{"one that was never announced waits for others", func() {
			services.OnUpdate(of("foreign", unmarked), of("foreign", unmarked, func(s *corev1.Service) { s.DeletionTimestamp = &metav1.Time{} }))
		}, false},
		{"a foreign one goes", func() { services.OnDelete(of("foreign", unmarked)) }, false},
		{"endpoints of ours come", func() { slices.OnAdd(on("web", "n1"), true) }, true},
		{"endpoints of ours move", func() { slices.OnUpdate(on("web", "n1"), on("web", "n2")) }, true},
		{"endpoints of ours stay", func() { slices.OnUpdate(on("web", "n1"), on("web", "n1")) }, false},
		{"endpoints of a foreign Service move", func() { slices.OnUpdate(on("foreign", "n1"), on("foreign", "n2")) }, false},
		{"endpoints of no Service go", func() { slices.OnDelete(on("absent", "n1")) }, false},
		{"endpoints become ours", func() { slices.OnUpdate(on("foreign", "n1"), on("web", "n1")) }, true},
		{"endpoints are ours no more", func() { slices.OnUpdate(on("web", "n1"), on("foreign", "n1")) }, true},
		{"their deletion was missed", func() {
			slices.OnAdd(on("web", "n1"), false)
			<-s.changed
			slices.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: on("web", "n1")})
		}, true},
		{"a Service goes", func() { services.OnDelete(of("web")) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.event()
			select {
			case <-s.changed:
				if !tt.want {
					t.Error("leads to a pass")
				}
			default:
				if tt.want {
					t.Error("leads to no pass")
				}
			}
		})
	}
}

func TestSignalIsRaisedOnce(t *testing.T) {
	s := newSignal()
	s.raise()
	s.raise()
	<-s
	select {
	case <-s:
		t.Error("raised twice")
	default:
	}
}
