package speaker

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

func TestSlimSlice(t *testing.T) {
	yes, no := true, false
	whole := newSlice("web", "web-1", endpoint("n1", &yes, &yes), endpoint("n1", &yes, &yes), endpoint("n2", &no, &yes), endpoint("", nil, nil))
	whole.ResourceVersion = "7"
	kept := slim[*knownSlice](t, whole)
	if m, err := meta.Accessor(kept); err != nil || m.GetName() != "web-1" || m.GetNamespace() != "default" || m.GetResourceVersion() != "7" {
		t.Errorf("a cache could not tell it from others: %v, %v", m, err)
	}
	want := &knownSlice{
		Slice: spec.ParseSlice(whole), Key: types.NamespacedName{Namespace: "default", Name: "web-1"}, Service: "web", Version: "7",
	}
	if diff := cmp.Diff(want, kept); diff != "" || !kept.Ready.Any() {
		t.Error(diff)
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
			for _, classes := range []kube.Classes{kube.DefaultClasses(), {LoadBalancerClass: "other"}} {
				o, err := newSlimmer(classes).slim(whole.DeepCopy())
				must(t, err)
				kept := o.(*knownService)
				if m, err := meta.Accessor(kept); err != nil || m.GetName() != "web" || m.GetNamespace() != ns || m.GetResourceVersion() != "7" {
					t.Errorf("a cache could not tell it from others: %v, %v", m, err)
				}
				if (kept.Concern == ours) != announced(classes, whole) || (kept.Concern == leaving) != leaves(classes, whole) {
					t.Errorf("to %v it is %d; announced %t, leaves %t", classes, kept.Concern, announced(classes, whole), leaves(classes, whole))
				}
				want := &knownService{Service: spec.ParseHolder(whole), Version: "7", Concern: kept.Concern, Announced: isAnnounced(whole)}
				if kept.Concern == foreign {
					want = &knownService{Service: spec.Service{Key: want.Key}, Version: "7"}
				}
				if diff := cmp.Diff(want, kept, equalPrefixes); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestSharedPoolsAreBounded: whoever may write Services makes no speaker grow.
func TestSharedPoolsAreBounded(t *testing.T) {
	s := newSlimmer(kube.DefaultClasses())
	shared := func(pools ...string) []string {
		o := newService("web", func(o *corev1.Service) { o.Annotations[v1beta1.AnnotationAllocatedFrom] = strings.Join(pools, ",") })
		return s.service(o).Pools
	}
	if shared(strings.Repeat("x", kube.MostWords+1)); s.pools.Len() > 0 {
		t.Error("what is so long is kept")
	}
	for i := range 2 * kube.MostShared {
		pools := []string{fmt.Sprint("pool-", i), "other"}
		if got := shared(pools...); !slices.Equal(got, pools) {
			t.Fatalf("%v: %v", pools, got)
		}
	}
	if n := s.pools.Len(); n != kube.MostShared {
		t.Errorf("%d are kept", n)
	}
	if a, b := shared("pool-0", "other"), shared("pool-0", "other"); &a[0] != &b[0] {
		t.Error("two Services of the same pools share nothing")
	}
}

func TestSlimNode(t *testing.T) {
	whole := newNode("n1")
	whole.Labels = map[string]string{"zone": "a", corev1.LabelNodeExcludeBalancers: ""}
	whole.Annotations = map[string]string{v1beta1.Drain: ""}
	whole.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/out-of-service"}}
	whole.Status.Images = []corev1.ContainerImage{{Names: []string{"big"}}}
	whole.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	kept := slim[*corev1.Node](t, whole)
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
	kept := slim[*corev1.Pod](t, whole)
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
	o := CacheOptions("n1", ns, kube.DefaultClasses())
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
