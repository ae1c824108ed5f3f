package controllers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

func slimmed[T any](t testing.TB, s *slimmer, o T) T {
	t.Helper()
	kept, err := s.slim(o)
	if err != nil {
		t.Fatal(err)
	}
	return kept.(T)
}

// wholeService has every field that a Service can have and that somebody here may read.
func wholeService() *corev1.Service {
	at := metav1.NewTime(time.Unix(1_700_000_000, 0))
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web", UID: "u", ResourceVersion: "7", Generation: 3, CreationTimestamp: at,
			Labels:      map[string]string{"app": "web", spec.ProxyNameLabel: "other"},
			Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "lan", "example.com/notes": "long"},
			Finalizers:  []string{"service.kubernetes.io/load-balancer-cleanup", v1beta1.ServiceFinalizer},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, Selector: map[string]string{"app": "web"},
			SessionAffinity: corev1.ServiceAffinityClientIP, ClusterIPs: []string{"10.96.0.1", "fd00:96::1"}, ClusterIP: "10.96.0.1",
			IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack),
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080)}, {Protocol: corev1.ProtocolUDP, Port: 53}},
		},
		Status: corev1.ServiceStatus{
			LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
				{IP: "192.0.2.1", IPMode: new(corev1.LoadBalancerIPModeVIP), Ports: []corev1.PortStatus{{Port: 80}}}, {IP: "2001:db8::1", IPMode: new(corev1.LoadBalancerIPModeVIP)},
			}},
			Conditions: []metav1.Condition{
				{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, LastTransitionTime: at, Reason: "Allocated", Message: "m", ObservedGeneration: 2},
				{Type: v1beta1.ConditionAnnounced, Status: metav1.ConditionTrue, LastTransitionTime: at, Reason: "Announced", Message: "by node n1"},
				{Type: "example.com/Other", Status: metav1.ConditionTrue, Message: "kept as it is"},
			},
		},
	}
}

// serviceChanges make other Services of a whole one, each for itself and one after the other.
func serviceChanges() []func(*corev1.Service) {
	annotate := func(name, value string) func(*corev1.Service) {
		return func(o *corev1.Service) { o.Annotations[name] = value }
	}
	type change = func(*corev1.Service)
	return []change{
		func(o *corev1.Service) { o.DeletionTimestamp = new(metav1.Now()) },
		func(o *corev1.Service) { o.Finalizers = []string{"other"} },
		func(o *corev1.Service) { o.Spec.LoadBalancerClass = new("other") },
		func(o *corev1.Service) { o.Spec.LoadBalancerClass = new(v1beta1.DefaultLoadBalancerClass) },
		func(o *corev1.Service) { o.Spec.LoadBalancerIP = "192.0.2.9" },
		func(o *corev1.Service) { o.Spec.IPFamilyPolicy, o.Spec.IPFamilies = nil, nil },
		func(o *corev1.Service) { o.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol} },
		func(o *corev1.Service) { o.Spec.ExternalTrafficPolicy, o.Spec.SessionAffinity = "", "" },
		func(o *corev1.Service) { o.Spec.Ports = nil },
		func(o *corev1.Service) {
			o.Spec.Ports = []corev1.ServicePort{{Protocol: corev1.ProtocolUDP, Port: 5353}}
		},
		func(o *corev1.Service) { o.Labels = nil },
		func(o *corev1.Service) { o.Status = corev1.ServiceStatus{} },
		func(o *corev1.Service) {
			o.Status.Conditions = []metav1.Condition{{Type: "example.com/Other", Status: metav1.ConditionTrue, Message: "kept as it is"}}
		},
		func(o *corev1.Service) {
			o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com", IP: "192.0.2.2", IPMode: new(corev1.LoadBalancerIPModeProxy)}}
		},
		annotate(v1beta1.AnnotationAllocatedFrom, "a,b"),
		func(o *corev1.Service) { delete(o.Annotations, v1beta1.AnnotationAllocatedFrom) },
		annotate(v1beta1.AnnotationPool, "lan"), annotate(v1beta1.AnnotationIPs, "192.0.2.1, 2001:db8::1"), annotate(v1beta1.AnnotationSharingKey, "k"),
		annotate(v1beta1.AnnotationReservation, "r"), annotate(v1beta1.AnnotationReallocate, "2"), annotate(v1beta1.AnnotationReallocated, "1"),
		annotate(v1beta1.MetalLBPrefix+v1beta1.MetalLBPool, "old"), annotate(v1beta1.OldMetalLBPrefix+v1beta1.MetalLBPool, "older"),
		annotate(v1beta1.MetalLBPrefix+v1beta1.MetalLBIPs, "192.0.2.7"), annotate(v1beta1.OldMetalLBPrefix+v1beta1.MetalLBIPs, "192.0.2.8"),
		annotate(v1beta1.OldMetalLBPrefix+v1beta1.MetalLBSharingKey, "k2"),
		func(o *corev1.Service) { o.Annotations = nil },
	}
}

// sayTheSame compares all that is read and written of a Service of ours.
func sayTheSame(t *testing.T, whole, kept *corev1.Service) {
	t.Helper()
	addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, classes := range []kube.Classes{kube.DefaultClasses(), {LoadBalancerClass: "other"}} {
		if classes.Ours(kept) != classes.Ours(whole) || foreign(classes, kept) != foreign(classes, whole) {
			t.Errorf("of %v it is something else", classes)
		}
	}
	if whole.Spec.Type == corev1.ServiceTypeLoadBalancer {
		if diff := cmp.Diff(spec.ParseService(whole), spec.ParseService(kept), addrs, cmpopts.EquateEmpty()); diff != "" {
			t.Error("asks for something else:", diff)
		}
	}
	if diff := cmp.Diff(spec.OccupiedByForeign(whole), spec.OccupiedByForeign(kept), addrs, cmp.AllowUnexported(spec.Range{})); diff != "" {
		t.Error("occupies something else:", diff)
	}
	now := time.Unix(1_800_000_000, 0)
	for _, do := range []finalize{leaveFinalizer, addFinalizer, dropFinalizer} {
		for _, d := range []desired{{}, {
			addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")}, from: "lan", moved: "2",
			condition: &metav1.Condition{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue},
		}} {
			d.finalize = do
			said := func(o *corev1.Service) (string, any) {
				d.announced = announcement{uid: o.UID, reason: reasonNotYet}.announcedOn(o, true, now)
				p, differs := diff(o, d)
				return string(p.body), []any{differs, p.key, p.announces, p.fresh, p.lost, fmt.Sprint(p.events)}
			}
			wantBody, want := said(whole)
			gotBody, got := said(kept)
			if diff := cmp.Diff(want, got, addrs) + cmp.Diff(wantBody, gotBody); diff != "" {
				t.Error("something else is written:", diff)
			}
		}
	}
}

// TestSlimService: whatever somebody reads of a Service here, or writes back, is as it was.
func TestSlimService(t *testing.T) {
	s, changes := newSlimmer(), serviceChanges()
	check := func(name string, do ...int) {
		t.Run(name, func(t *testing.T) {
			whole := wholeService()
			for _, i := range do {
				if changes[i](whole); whole.Annotations == nil {
					whole.Annotations = map[string]string{}
				}
			}
			kept := slimmed(t, s, whole.DeepCopy())
			sayTheSame(t, whole, kept)
			if kept.Spec.Selector != nil || kept.Spec.ClusterIP != "" || kept.Annotations["example.com/notes"] != "" || len(kept.Spec.IPFamilies) > 0 && kept.Spec.ClusterIPs != nil {
				t.Errorf("kept %v", kept)
			}
			sayTheSame(t, whole, slimmed(t, s, kept.DeepCopy()))
			for _, kind := range []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName} {
				whole.Spec.Type = kind
				kept = slimmed(t, s, whole.DeepCopy())
				sayTheSame(t, whole, kept)
				if kept.Labels != nil || kept.Spec.Ports != nil {
					t.Errorf("of a Service that was ours is kept %v", kept)
				}
			}
		})
	}
	check("as it is")
	for i := range changes {
		check(fmt.Sprint("change ", i), i)
	}
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same on each run
	for i := range 300 {
		check(fmt.Sprint("changes ", i), random.Perm(len(changes))[:2+random.IntN(6)]...)
	}
}

// TestSharedIsBounded: whoever may write Services makes no controller grow.
func TestSharedIsBounded(t *testing.T) {
	s := newSlimmer()
	for i := range 2 * kube.MostShared {
		o := wholeService()
		o.Annotations[v1beta1.AnnotationPool] = fmt.Sprint(i)
		for range 2 {
			if kept := slimmed(t, s, o.DeepCopy()); kept.Annotations[v1beta1.AnnotationPool] != fmt.Sprint(i) || len(kept.Annotations) != 2 {
				t.Fatalf("%d: %v", i, kept.Annotations)
			}
		}
	}
	if n := s.annotations.Len(); n != kube.MostShared {
		t.Errorf("%d are kept", n)
	}
}

func TestSlimNodeAndPod(t *testing.T) {
	s := newSlimmer()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"asn": "64500", v1beta1.Drain: ""}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24"}, Unschedulable: true, Taints: []corev1.Taint{{Key: "a"}}},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}, Images: []corev1.ContainerImage{{}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}, {Type: "Other"}},
		},
	}
	node := slimmed(t, s, n.DeepCopy())
	if !reflect.DeepEqual(spec.ParseNode(n), spec.ParseNode(node)) || !slices.Equal(spec.OccupiedByNode(n), spec.OccupiedByNode(node)) || node.Status.Images != nil {
		t.Errorf("kept %v", node)
	}
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{}}}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	pod := slimmed(t, s, p.DeepCopy())
	if pod.Spec.NodeName != "n1" || !slices.Equal(pod.Status.Conditions, p.Status.Conditions) || pod.Spec.Containers != nil {
		t.Errorf("kept %v", pod)
	}
}
