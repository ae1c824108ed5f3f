package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// TestExplanationInTheDocs: docs/kubectl-belfry.md shows what the plugin prints, to the letter.
func TestExplanationInTheDocs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubectl-belfry.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(page), "```console\n$ kubectl belfry explain svc/web\n")
	want, more, closed := strings.Cut(shown, "```\n")
	if !found || !closed || strings.Contains(more, "```console") {
		t.Fatal("the page has other blocks of output than the one of explain")
	}
	var out strings.Builder
	a := &app{io: genericiooptions.IOStreams{Out: &out}}
	e := explainIn(explain.Look(threeNodes()), subject{"svc", types.NamespacedName{Namespace: "default", Name: "web"}})
	if err := a.printExplanation(e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(out.String())); diff != "" {
		t.Errorf("(-docs +printed):\n%s", diff)
	}
}

// threeNodes is the cluster of the docs: Service default/web with pods on n1 and n2, a pool of ten addresses, and n3 drained.
func threeNodes() explain.Facts {
	web := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web", Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "lan"}}}
	web.Spec.Type, web.Spec.IPFamilies = corev1.ServiceTypeLoadBalancer, []corev1.IPFamily{corev1.IPv4Protocol}
	web.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.168.1.240"}}
	f := explain.Facts{
		Objects: spec.Objects{
			Pools:            []v1beta1.IPAddressPool{{ObjectMeta: metav1.ObjectMeta{Name: "lan"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.168.1.240-192.168.1.249"}}}},
			L2Advertisements: []v1beta1.L2Advertisement{{ObjectMeta: metav1.ObjectMeta{Name: "lan"}}},
		},
		Services:   []explain.Service{{Object: web, Ours: true, Endpoints: spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n1", "n2"}}}}},
		Controller: explain.Controller{Known: true, Available: 2, Wanted: 2},
		OursIs:     func(*corev1.Service) bool { return true },
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		o.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		s := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1beta1.SpeakerStatusStatus{
			Version: "v1.0.0", State: explain.StateReady, Members: v1beta1.SpeakerMembers{Alive: 3},
			Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", Up: true, Subnets: []string{"192.168.1.0/24"}}},
		}}
		switch name {
		case "n1":
			s.Status.L2 = v1beta1.SpeakerL2{
				Count: 1, Addresses: []string{"192.168.1.240"},
				Claims: []v1beta1.SpeakerClaim{{Epoch: 1, Addresses: []string{"192.168.1.240"}}},
			}
		case "n3":
			o.Spec.Taints = []corev1.Taint{{Key: v1beta1.Drain, Effect: corev1.TaintEffectNoSchedule}}
		}
		f.Nodes = append(f.Nodes, explain.Node{Object: o, Status: s, Pod: explain.Pod{Known: true, Name: "speaker-" + name, Ready: true}})
	}
	return f
}
