package speaker

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/internal/kube"
)

// TestPlanning tells which events lead to a pass.
func TestPlanning(t *testing.T) {
	yes := true
	on := func(service, node string) *discoveryv1.EndpointSlice {
		return newSlice(service, service, endpoint(node, &yes, &yes))
	}
	foreign := newService("foreign", func(s *corev1.Service) { s.Annotations = nil })
	c := fakeAPI(t, newService("web"), foreign).Build()
	s := &Speaker{o: Options{Client: c, Classes: kube.DefaultClasses()}, changed: newSignal()}
	h := s.planning(context.Background())
	tests := []struct {
		name  string
		event func()
		want  bool
	}{
		{"a Node comes", func() { h.OnAdd(newNode("n1"), false) }, true},
		{"a Node's heartbeat", func() { h.OnUpdate(newNode("n1"), newNode("n1")) }, false},
		{"a Service goes", func() { h.OnDelete(newService("web")) }, true},
		{"endpoints of ours come", func() { h.OnAdd(on("web", "n1"), true) }, true},
		{"endpoints of ours move", func() { h.OnUpdate(on("web", "n1"), on("web", "n2")) }, true},
		{"endpoints of ours stay", func() { h.OnUpdate(on("web", "n1"), on("web", "n1")) }, false},
		{"endpoints of a foreign Service move", func() { h.OnUpdate(on("foreign", "n1"), on("foreign", "n2")) }, false},
		{"endpoints of no Service go", func() { h.OnDelete(on("absent", "n1")) }, false},
		{"endpoints become ours", func() { h.OnUpdate(on("foreign", "n1"), on("web", "n1")) }, true},
		{"endpoints are ours no more", func() { h.OnUpdate(on("web", "n1"), on("foreign", "n1")) }, true},
		{"a deletion was missed", func() { h.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: on("foreign", "n1")}) }, true},
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
