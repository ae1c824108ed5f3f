package speaker

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

func slimmed[T any](t *testing.T, o T) T {
	t.Helper()
	kept, err := newSlimmer().slim(o)
	must(t, err)
	return kept.(T)
}

func TestSlimSlice(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		name      string
		endpoints []discoveryv1.Endpoint
		kept      int
	}{
		{"none", nil, 0},
		{"alike on one node", []discoveryv1.Endpoint{endpoint("n1", &yes, &yes), endpoint("n1", &yes, &yes)}, 1},
		{"on two nodes", []discoveryv1.Endpoint{endpoint("n1", &yes, &yes), endpoint("n2", &yes, &yes)}, 2},
		{"ready and not", []discoveryv1.Endpoint{endpoint("n1", &no, &no), endpoint("n1", &yes, &yes)}, 2},
		{"serving and not", []discoveryv1.Endpoint{endpoint("n1", &no, &yes), endpoint("n1", &no, &no)}, 2},
		{"unset is not false", []discoveryv1.Endpoint{endpoint("n1", nil, nil), endpoint("n1", &no, nil)}, 2},
		{"without a node", []discoveryv1.Endpoint{endpoint("", &yes, &yes), endpoint("n1", &no, &yes), endpoint("", &yes, &yes)}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole := newSlice("web", "web-1", tt.endpoints...)
			whole.ResourceVersion, whole.Ports = "7", []discoveryv1.EndpointPort{{}}
			kept := slimmed(t, whole.DeepCopy())
			if len(kept.Endpoints) != tt.kept || kept.Ports != nil {
				t.Errorf("kept %v", kept)
			}
			if kept.Name != "web-1" || kept.Namespace != "default" || kept.ResourceVersion != "7" {
				t.Errorf("a cache could not tell it from others: %v", kept.ObjectMeta)
			}
			read := func(s *discoveryv1.EndpointSlice) spec.Endpoints {
				return spec.ParseEndpoints([]discoveryv1.EndpointSlice{*s})
			}
			if diff := cmp.Diff(read(whole), read(kept), equalPrefixes); diff != "" || sliceChanged(whole, kept) {
				t.Error("says something else:", diff)
			}
		})
	}
}

func TestSlimService(t *testing.T) {
	now := metav1.Now()
	type change = func(*corev1.Service)
	for name, change := range map[string]change{
		"as it is": func(*corev1.Service) {},
		"deleted": func(o *corev1.Service) {
			o.DeletionTimestamp, o.Finalizers = &now, []string{"service.kubernetes.io/load-balancer-cleanup", v1beta1.ServiceFinalizer}
		},
		"deleted, and not for us to free": func(o *corev1.Service) { o.DeletionTimestamp, o.Finalizers = &now, []string{"other"} },
		"of a class":                      func(o *corev1.Service) { o.Spec.LoadBalancerClass = new("other") },
		"not announced":                   func(o *corev1.Service) { o.Status.Conditions[1].Status = metav1.ConditionFalse },
		"not marked":                      func(o *corev1.Service) { delete(o.Annotations, v1beta1.AnnotationAllocatedFrom) },
		"of two pools":                    func(o *corev1.Service) { o.Annotations[v1beta1.AnnotationAllocatedFrom] = "a,b" },
		"families by cluster IPs":         func(o *corev1.Service) { o.Spec.IPFamilies = nil },
		"a name among the addresses": func(o *corev1.Service) {
			o.Annotations[v1beta1.AnnotationAllocatedFrom] = "a,b"
			o.Status.LoadBalancer.Ingress = append([]corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}}, o.Status.LoadBalancer.Ingress[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: ns, Name: "web", UID: "u", ResourceVersion: "7", CreationTimestamp: now, Labels: map[string]string{"app": "web", spec.ProxyNameLabel: "other"},
					Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "lan", "example.com/notes": "long"},
				},
				Spec: corev1.ServiceSpec{
					Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
					SessionAffinity: corev1.ServiceAffinityClientIP, ClusterIPs: []string{"10.96.0.1", "fd00:96::1"}, Selector: map[string]string{"app": "web"},
					IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol},
					Ports:      []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Protocol: corev1.ProtocolUDP, Port: 53}},
				},
				Status: corev1.ServiceStatus{
					LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1", Ports: []corev1.PortStatus{{Port: 80}}}, {IP: "2001:db8::1"}}},
					Conditions: []metav1.Condition{
						{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, LastTransitionTime: now, Message: "long"},
						{Type: v1beta1.ConditionAnnounced, Status: metav1.ConditionTrue, LastTransitionTime: now, Message: "long"},
						{Type: "example.com/Other", Status: metav1.ConditionTrue},
					},
				},
			}
			change(whole)
			kept := slimmed(t, whole.DeepCopy())
			for _, classes := range []kube.Classes{kube.DefaultClasses(), {LoadBalancerClass: "other"}} {
				if announced(classes, kept) != announced(classes, whole) || leaves(classes, kept) != leaves(classes, whole) {
					t.Errorf("announced and leaving to %v: %t %t, were %t %t", classes,
						announced(classes, kept), leaves(classes, kept), announced(classes, whole), leaves(classes, whole))
				}
			}
			if isAnnounced(kept) != isAnnounced(whole) {
				t.Errorf("says of itself %t", isAnnounced(kept))
			}
			if diff := cmp.Diff(spec.ParseService(whole), spec.ParseService(kept), equalPrefixes); diff != "" {
				t.Error("says something else:", diff)
			}
			if kept.ResourceVersion != whole.ResourceVersion || kept.Spec.Selector != nil || len(kept.Annotations) > 1 || len(kept.Status.Conditions) > 2 {
				t.Errorf("kept %v", kept)
			}
		})
	}
}

// TestSharedAnnotationsAreBounded: whoever may write Services makes no speaker grow.
func TestSharedAnnotationsAreBounded(t *testing.T) {
	s := newSlimmer()
	for i := range 2 * mostPools {
		pools := fmt.Sprint("pool-", i)
		if got := s.allocatedFrom(pools); got[v1beta1.AnnotationAllocatedFrom] != pools || len(got) != 1 {
			t.Fatalf("%s: %v", pools, got)
		}
	}
	if len(s.pools) != mostPools {
		t.Errorf("%d are kept", len(s.pools))
	}
}

func TestSlimNode(t *testing.T) {
	whole := newNode("n1")
	whole.Labels = map[string]string{"zone": "a", corev1.LabelNodeExcludeBalancers: ""}
	whole.Annotations = map[string]string{v1beta1.Drain: ""}
	whole.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/out-of-service"}}
	whole.Status.Images = []corev1.ContainerImage{{Names: []string{"big"}}}
	whole.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	kept := slimmed(t, whole.DeepCopy())
	if kept.Status.Images != nil || kept.ManagedFields != nil {
		t.Error("kept what nobody reads")
	}
	if !reflect.DeepEqual(spec.ParseNode(whole), spec.ParseNode(kept)) || kept.UID != whole.UID {
		t.Errorf("says something else: %v", kept)
	}
}

func TestSlimPod(t *testing.T) {
	whole := newPod("n1", "192.0.2.1", "2001:db8::1")
	whole.Spec.Containers = []corev1.Container{{Name: "speaker"}}
	whole.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "speaker"}}
	kept := slimmed(t, whole.DeepCopy())
	if kept.Spec.Containers != nil || kept.Status.ContainerStatuses != nil {
		t.Error("kept what nobody reads")
	}
	if podChanged(whole, kept) || !reflect.DeepEqual(whole.Labels, kept.Labels) {
		t.Errorf("says something else: %v", kept)
	}
}

func TestHeadlessSlicesAreNotCached(t *testing.T) {
	headless := labels.Set{discoveryv1.LabelServiceName: "db", corev1.IsHeadlessService: ""}
	if kube.WithClusterIP().Matches(headless) {
		t.Error("a headless Service's is")
	}
	if delete(headless, corev1.IsHeadlessService); !kube.WithClusterIP().Matches(headless) {
		t.Error("another's is not")
	}
}

func TestCacheIsNarrow(t *testing.T) {
	o := CacheOptions("n1", ns)
	if !o.ReaderFailOnMissingInformer {
		t.Error("a read of a kind that is not watched would begin to watch it everywhere")
	}
	for kind, by := range o.ByObject {
		if by.Field == nil && by.Label == nil {
			t.Errorf("all of %T are cached", kind)
		}
		switch kind.(type) {
		case *corev1.Pod, *corev1.Secret:
			if _, own := by.Namespaces[ns]; !own || len(by.Namespaces) != 1 {
				t.Errorf("%T is cached of namespaces %v", kind, by.Namespaces)
			}
		}
	}
}

// TestMapperNeedsNobody: it says what an API server says of the kinds, as their CRDs and the API's conventions have it.
func TestMapperNeedsNobody(t *testing.T) {
	scheme, err := kube.NewScheme()
	must(t, err)
	m, err := NewMapper(scheme)
	must(t, err)
	want := map[string]string{
		"Service": "services", "Node": "", "Pod": "pods", "Secret": "secrets", "EndpointSlice": "endpointslices",
	}
	for _, o := range cached() {
		gvk, err := apiutil.GVKForObject(o, scheme)
		must(t, err)
		found, err := m.RESTMapping(gvk.GroupKind(), gvk.Version)
		must(t, err)
		plural, builtin := want[gvk.Kind]
		switch {
		case !builtin:
			crd := filepath.Join("..", "config", "crd", "bases", gvk.Group+"_"+found.Resource.Resource+".yaml")
			b, err := os.ReadFile(crd)
			must(t, err)
			if !strings.Contains(string(b), "scope: Cluster") || found.Scope.Name() != meta.RESTScopeNameRoot {
				t.Errorf("%s has scope %s", gvk.Kind, found.Scope.Name())
			}
		case plural == "":
			if found.Scope.Name() != meta.RESTScopeNameRoot {
				t.Errorf("%s is in a namespace", gvk.Kind)
			}
		case found.Scope.Name() != meta.RESTScopeNameNamespace || found.Resource.Resource != plural:
			t.Errorf("%s is %s with scope %s", gvk.Kind, found.Resource.Resource, found.Scope.Name())
		}
	}
}
