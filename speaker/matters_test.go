package speaker

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestMatters(t *testing.T) {
	node := func(change func(*corev1.Node)) func() (a, b client.Object) {
		return func() (a, b client.Object) { n := newNode("n1"); change(n); return newNode("n1"), n }
	}
	pod := func(change func(*corev1.Pod)) func() (a, b client.Object) {
		return func() (a, b client.Object) {
			p := newPod("n1", "192.0.2.1")
			change(p)
			return newPod("n1", "192.0.2.1"), p
		}
	}
	pool := func(change func(*v1beta1.IPAddressPool)) func() (a, b client.Object) {
		return func() (a, b client.Object) {
			p := &v1beta1.IPAddressPool{}
			change(p)
			return &v1beta1.IPAddressPool{}, p
		}
	}
	tests := []struct {
		name    string
		objects func() (before, after client.Object)
		want    bool
	}{
		{"a Node's heartbeat", node(func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.Now() }), false},
		{"a Node's images", node(func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{}} }), false},
		{"a Node that is not ready", node(func(n *corev1.Node) { n.Status.Conditions[0].Status = "Unknown" }), true},
		{"a Node's label", node(func(n *corev1.Node) { n.Labels = map[string]string{"zone": "a"} }), true},
		{"a Node that is drained", node(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: v1beta1.Drain}} }), true},

		{"a Pod's conditions", pod(func(p *corev1.Pod) { p.Status.Conditions = []corev1.PodCondition{{Type: "Ready"}} }), false},
		{"a Pod's address", pod(func(p *corev1.Pod) { p.Status.PodIPs[0].IP = "192.0.2.2" }), true},
		{"a Pod's second address", pod(func(p *corev1.Pod) {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "2001:db8::1"})
		}), true},
		{"a Pod that is about to go", pod(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }), true},
		{"a Pod that was evicted", pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), true},

		{"a pool's status", pool(func(p *v1beta1.IPAddressPool) { p.ResourceVersion = "2" }), false},
		{"a pool's spec", pool(func(p *v1beta1.IPAddressPool) { p.Generation = 2 }), true},
		{"a pool made anew", pool(func(p *v1beta1.IPAddressPool) { p.UID = "2" }), true},
		{"a pool's label", pool(func(p *v1beta1.IPAddressPool) { p.Labels = map[string]string{"tier": "a"} }), true},
		{"the Secret", func() (a, b client.Object) { return newSecret("a"), newSecret("b") }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := tt.objects()
			if got := matters(before, after); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

// TestSlicesDiffer tells which endpoints make a difference to a plan.
func TestSlicesDiffer(t *testing.T) {
	yes, no := true, false
	type ends = []discoveryv1.Endpoint
	for _, tt := range []struct {
		name  string
		after ends
		want  bool
	}{
		{"none", ends{endpoint("n1", &yes, &yes)}, false},
		{"one more endpoint on the node", ends{endpoint("n1", &yes, &yes), endpoint("n1", &yes, &yes)}, true},
		{"an endpoint on another node", ends{endpoint("n1", &yes, &yes), endpoint("n2", &yes, &yes)}, true},
		{"an endpoint that is not ready there", ends{endpoint("n1", &yes, &yes), endpoint("n2", &no, &no)}, false},
		{"an endpoint that terminates", ends{endpoint("n1", &no, &yes)}, true},
		{"no endpoint", nil, true},
		{"an endpoint without a node", ends{endpoint("", &yes, &yes)}, true},
	} {
		before, after := newSlice("web", "1", endpoint("n1", &yes, &yes)), newSlice("web", "1", tt.after...)
		if got := !slim[*knownSlice](t, before).Equal(slim[*knownSlice](t, after).Slice); got != tt.want {
			t.Errorf("%s: a difference: %t", tt.name, got)
		}
	}
}
