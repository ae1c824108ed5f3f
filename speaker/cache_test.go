package speaker

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

func slimmed[T any](t *testing.T, o T) T {
	t.Helper()
	kept, err := slim(o)
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
