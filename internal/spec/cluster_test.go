package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// endpoint stands on a node ("" for none); ready and serving are y, n or - for unset.
func endpoint(node, conditions string) discoveryv1.Endpoint {
	var e discoveryv1.Endpoint
	if node != "" {
		e.NodeName = &node
	}
	flag := func(c byte) *bool {
		yes := c == 'y'
		if c == '-' {
			return nil
		}
		return &yes
	}
	e.Conditions = discoveryv1.EndpointConditions{Ready: flag(conditions[0]), Serving: flag(conditions[1])}
	return e
}

func TestParseEndpoints(t *testing.T) {
	for _, c := range []struct {
		name string
		in   [][]discoveryv1.Endpoint
		want Backends
	}{
		{"none", nil, Backends{}},
		{"ready ones, each node once, of all slices", [][]discoveryv1.Endpoint{{endpoint("b", "yy"), endpoint("a", "yy")}, {endpoint("a", "yy")}}, Backends{Nodes: []string{"a", "b"}, Counts: []int{2, 1}}},
		{"several without a node", [][]discoveryv1.Endpoint{{endpoint("", "yy"), endpoint("", "yy")}}, Backends{Nodes: nil, Anywhere: true, Floating: 2}},
		{"unset is ready", [][]discoveryv1.Endpoint{{endpoint("a", "--")}}, Backends{Nodes: []string{"a"}}},
		{"a ready one hides those that only serve", [][]discoveryv1.Endpoint{{endpoint("a", "yy"), endpoint("b", "ny")}}, Backends{Nodes: []string{"a"}}},
		{"without a ready one those that serve count", [][]discoveryv1.Endpoint{{endpoint("a", "nn"), endpoint("b", "ny")}}, Backends{Nodes: []string{"b"}}},
		{"serving unset is as ready", [][]discoveryv1.Endpoint{{endpoint("a", "n-")}}, Backends{}},
		{"without a node: anywhere", [][]discoveryv1.Endpoint{{endpoint("", "yy"), endpoint("a", "yy")}}, Backends{Nodes: []string{"a"}, Anywhere: true}},
	} {
		six := slicesOf(discoveryv1.AddressTypeIPv6, c.in...)
		if d := cmp.Diff(Endpoints{IPv6: c.want}, ParseEndpoints(six)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		four := slicesOf(discoveryv1.AddressTypeIPv4, []discoveryv1.Endpoint{endpoint("z", "ny")})
		if d := cmp.Diff(Endpoints{IPv4: Backends{Nodes: []string{"z"}}, IPv6: c.want}, ParseEndpoints(append(six, four...))); d != "" {
			t.Errorf("%s, and slices of the other family: %s", c.name, d)
		}
	}
	if e := ParseEndpoints(slicesOf(discoveryv1.AddressTypeFQDN, []discoveryv1.Endpoint{endpoint("a", "yy")})); e.IPv4.Any() || e.IPv6.Any() {
		t.Errorf("names serve addresses: %+v", e)
	}
}

func slicesOf(family discoveryv1.AddressType, lists ...[]discoveryv1.Endpoint) (out []discoveryv1.EndpointSlice) {
	for _, l := range lists {
		out = append(out, discoveryv1.EndpointSlice{AddressType: family, Endpoints: l})
	}
	return out
}

func TestEndpoints(t *testing.T) {
	none, here, anywhere := Backends{}, Backends{Nodes: []string{"a", "c"}}, Backends{Anywhere: true}
	for _, c := range []struct {
		b    Backends
		any  bool
		on   map[string]bool
		same Backends
	}{
		{none, false, map[string]bool{"a": false}, Backends{Nodes: []string{}}},
		{here, true, map[string]bool{"a": true, "b": false, "c": true}, Backends{Nodes: []string{"a", "c"}}},
		{anywhere, true, map[string]bool{"b": true}, Backends{Anywhere: true}},
	} {
		if c.b.Any() != c.any || !c.b.equal(c.same) {
			t.Errorf("%+v: any %v", c.b, c.b.Any())
		}
		for node, want := range c.on {
			if c.b.On(node) != want {
				t.Errorf("%+v on %s: %v", c.b, node, !want)
			}
		}
	}
	if none.equal(here) || here.equal(anywhere) || (Slice{Family: IPv4, Ready: here}).Equal(Slice{Family: IPv6, Ready: here}) {
		t.Error("different endpoints are equal")
	}
}

func TestParseNode(t *testing.T) {
	condition := func(kind corev1.NodeConditionType, s corev1.ConditionStatus) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: s}
	}
	ready, cut := condition(corev1.NodeReady, "True"), condition(corev1.NodeNetworkUnavailable, "True")
	excluded := map[string]string{corev1.LabelNodeExcludeBalancers: ""}
	drained := map[string]string{v1beta1.Drain: ""}
	for _, c := range []struct {
		name string
		node corev1.Node
		want Node
	}{
		{"silent", corev1.Node{}, Node{}},
		{"ready", corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{ready}}}, Node{Ready: true}},
		{"without network", corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{cut, ready}}}, Node{}},
		{"unknown", corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{condition(corev1.NodeReady, "Unknown")}}}, Node{}},
		{"excluded", corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: excluded}}, Node{Excluded: true, Labels: labels.Set(excluded)}},
		{"drained by annotation", corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: drained}}, Node{Draining: true, Annotations: drained}},
		{"drained by taint", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1beta1.Drain, Effect: "NoSchedule"}}}}, Node{Draining: true}},
		{"out of service", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: "NoExecute"}}}}, Node{Draining: true}},
		{"cordoned", corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable}}}}, Node{Cordoned: true}},
	} {
		if d := cmp.Diff(c.want, ParseNode(&c.node)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
