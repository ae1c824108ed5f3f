package integration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestFamilies(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.0/29", "2001:db8::/125"))
	start(t)
	for _, tc := range []struct {
		name string
		set  func(*corev1.Service)
		want []string
	}{
		{"v4", families(corev1.IPFamilyPolicySingleStack, corev1.IPv4Protocol), []string{"192.0.2.0"}},
		{"v6", families(corev1.IPFamilyPolicySingleStack, corev1.IPv6Protocol), []string{"2001:db8::"}},
		{"dual", families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol), []string{"192.0.2.1", "2001:db8::1"}},
		{"dual-v6-first", families(corev1.IPFamilyPolicyPreferDualStack, corev1.IPv6Protocol, corev1.IPv4Protocol), []string{"2001:db8::2", "192.0.2.2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(tc.name, tc.set)
			create(t, s)
			hasAddresses(t, s, tc.want...)
			hasReason(t, s, metav1.ConditionTrue, "Allocated")
			hasEvent(t, s, "AddressAssigned", strings.Join(tc.want, ", ")+" from pool a")
			if got := s.Annotations[v1beta1.AnnotationAllocatedFrom]; got != "a" {
				t.Errorf("%s = %q, want a", v1beta1.AnnotationAllocatedFrom, got)
			}
			for _, in := range s.Status.LoadBalancer.Ingress {
				if in.IPMode == nil || *in.IPMode != corev1.LoadBalancerIPModeVIP {
					t.Errorf("ipMode of %s is %v, want VIP", in.IP, in.IPMode)
				}
			}
		})
	}
}

func TestFamiliesFromTwoPools(t *testing.T) {
	clean(t)
	create(t, newPool("four", "192.0.2.8/29"), newPool("six", "2001:db8:8::/125"))
	start(t)
	s := newService("two-pools", families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol))
	create(t, s)
	hasAddresses(t, s, "192.0.2.8", "2001:db8:8::")
	if got := s.Annotations[v1beta1.AnnotationAllocatedFrom]; got != "four,six" {
		t.Errorf("%s = %q, want four,six", v1beta1.AnnotationAllocatedFrom, got)
	}
}

func TestOneWritePerAssignment(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.16/28"))
	c := start(t)
	s := newService("once")
	create(t, s)
	hasAddresses(t, s, "192.0.2.16")
	hasEvent(t, s, "AddressAssigned", "192.0.2.16")
	if got := c.net.written()["PATCH services/status"]; got != 1 {
		t.Errorf("%d patches for one assignment: %v", got, c.net.written())
	}
	if got := c.metric("belfry_assignments_total", "allocated=true", "reason=Allocated"); got != 1 {
		t.Errorf("belfry_assignments_total = %v, want 1", got)
	}
	if got := c.metric("belfry_assignment_duration_seconds"); got != 1 {
		t.Errorf("%v assignments were timed, want 1", got)
	}
}

func TestPoolCreatedAfterService(t *testing.T) {
	clean(t)
	start(t)
	s, six := newService("early"), newService("early-six", families(corev1.IPFamilyPolicySingleStack, corev1.IPv6Protocol))
	create(t, s, six)
	hasReason(t, s, metav1.ConditionFalse, "NoPool")
	hasEvent(t, s, "AssignmentFailed", "NoPool: there is no pool")
	create(t, newPool("late", "192.0.2.32/30"))
	hasAddresses(t, s, "192.0.2.32")
	hasReason(t, six, metav1.ConditionFalse, "NoFamily")
}

func TestOthersFieldsSurvive(t *testing.T) {
	clean(t)
	start(t)
	s := newService("shared-status", func(s *corev1.Service) { s.Annotations = map[string]string{"other.dev/a": "1"} })
	create(t, s)
	hasReason(t, s, metav1.ConditionFalse, "NoPool")
	foreign := metav1.Condition{Type: "other.dev/Programmed", Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.Now().Rfc3339Copy()}
	eventually(t, "writing another condition", func() error {
		get(t, s)
		meta.SetStatusCondition(&s.Status.Conditions, foreign)
		return shared.client.Status().Update(t.Context(), s)
	})
	create(t, newPool("a", "192.0.2.40/30"))
	hasAddresses(t, s, "192.0.2.40")
	hasReason(t, s, metav1.ConditionTrue, "Allocated")
	got := meta.FindStatusCondition(s.Status.Conditions, foreign.Type)
	if got == nil {
		t.Fatal("the other controller's condition is gone")
	}
	if diff := cmp.Diff(foreign.Reason, got.Reason); diff != "" {
		t.Error(diff)
	}
	if s.Annotations["other.dev/a"] != "1" {
		t.Errorf("the other annotation is gone: %v", s.Annotations)
	}
}

func TestPortsDefaultedByOthersMakeNoLoop(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.48/30"))
	c := start(t)
	s, next := newService("with-ports"), newService("after-ports")
	create(t, s)
	hasAddresses(t, s, "192.0.2.48")
	eventually(t, "filling in ports", func() error {
		get(t, s)
		s.Status.LoadBalancer.Ingress[0].Ports = []corev1.PortStatus{{Port: 80, Protocol: corev1.ProtocolTCP}}
		return shared.client.Status().Update(t.Context(), s)
	})
	create(t, next)
	hasAddresses(t, next, "192.0.2.49")
	if got := c.net.written()["PATCH services/status"]; got != 2 {
		t.Errorf("%d patches for two assignments", got)
	}
	if get(t, s); len(s.Status.LoadBalancer.Ingress[0].Ports) != 1 {
		t.Error("the ports are gone")
	}
}

func TestUntouched(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.56/30"))
	start(t)
	class := "cloud.example/nlb"
	list := []*corev1.Service{
		newService("foreign-class", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class }),
		newService("headless", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ClusterIP, s.Spec.AllocateLoadBalancerNodePorts = corev1.ServiceTypeClusterIP, "None", nil
		}),
		newService("external", func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
		}),
		newService("cluster-ip", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.AllocateLoadBalancerNodePorts = corev1.ServiceTypeClusterIP, nil
		}),
	}
	before := map[string]string{}
	for _, s := range list {
		create(t, s)
	}
	// What another controller wrote on its own Service must stay too, even in our words.
	foreign := list[0]
	foreign.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: "theirs"}
	must(t, shared.client.Update(t.Context(), foreign))
	foreign.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.57"}}
	must(t, shared.client.Status().Update(t.Context(), foreign))
	for _, s := range list {
		before[s.Name] = s.ResourceVersion
	}
	ours := newService("ours-after-them")
	create(t, ours)
	hasAddresses(t, ours, "192.0.2.56")
	for _, s := range list {
		if get(t, s); s.ResourceVersion != before[s.Name] {
			t.Errorf("%s was written: %+v", s.Name, s)
		}
	}
}

func TestOurClassAndUnclassed(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.64/30"))
	class := v1beta1.DefaultLoadBalancerClass
	start(t)
	s := newService("our-class", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class })
	create(t, s)
	hasAddresses(t, s, "192.0.2.64")
}
