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
		want Endpoints
	}{
		{"none", nil, Endpoints{}},
		{"ready ones, each node once, of all slices", [][]discoveryv1.Endpoint{{endpoint("b", "yy"), endpoint("a", "yy")}, {endpoint("a", "yy")}}, Endpoints{Nodes: []string{"a", "b"}}},
		{"unset is ready", [][]discoveryv1.Endpoint{{endpoint("a", "--")}}, Endpoints{Nodes: []string{"a"}}},
		{"a ready one hides those that only serve", [][]discoveryv1.Endpoint{{endpoint("a", "yy"), endpoint("b", "ny")}}, Endpoints{Nodes: []string{"a"}}},
		{"without a ready one those that serve count", [][]discoveryv1.Endpoint{{endpoint("a", "nn"), endpoint("b", "ny")}}, Endpoints{Nodes: []string{"b"}}},
		{"serving unset is as ready", [][]discoveryv1.Endpoint{{endpoint("a", "n-")}}, Endpoints{}},
		{"without a node: anywhere", [][]discoveryv1.Endpoint{{endpoint("", "yy"), endpoint("a", "yy")}}, Endpoints{Nodes: []string{"a"}, Anywhere: true}},
	} {
		var slices []discoveryv1.EndpointSlice
		for _, es := range c.in {
			slices = append(slices, discoveryv1.EndpointSlice{Endpoints: es})
		}
		if d := cmp.Diff(c.want, ParseEndpoints(slices)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestEndpoints(t *testing.T) {
	none, here, anywhere := Endpoints{}, Endpoints{Nodes: []string{"a", "c"}}, Endpoints{Anywhere: true}
	for _, c := range []struct {
		e    Endpoints
		any  bool
		on   map[string]bool
		same Endpoints
	}{
		{none, false, map[string]bool{"a": false}, Endpoints{Nodes: []string{}}},
		{here, true, map[string]bool{"a": true, "b": false, "c": true}, Endpoints{Nodes: []string{"a", "c"}}},
		{anywhere, true, map[string]bool{"b": true}, Endpoints{Anywhere: true}},
	} {
		if c.e.Any() != c.any || !c.e.Equal(c.same) {
			t.Errorf("%+v: any %v", c.e, c.e.Any())
		}
		for node, want := range c.on {
			if c.e.On(node) != want {
				t.Errorf("%+v on %s: %v", c.e, node, !want)
			}
		}
	}
	if none.Equal(here) || here.Equal(anywhere) || none.Equal(anywhere) {
		t.Error("different endpoints are equal")
	}
}

func TestParseNode(t *testing.T) {
	condition := func(kind corev1.NodeConditionType, s corev1.ConditionStatus) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: s}
	}
	ready, cut := condition(corev1.NodeReady, "True"), condition(corev1.NodeNetworkUnavailable, "True")
	excluded := map[string]string{corev1.LabelNodeExcludeBalancers: ""}
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
		{"drained by annotation", corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.Drain: ""}}}, Node{Draining: true}},
		{"drained by taint", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1beta1.Drain, Effect: "NoSchedule"}}}}, Node{Draining: true}},
		{"out of service", corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: "NoExecute"}}}}, Node{Draining: true}},
		{"cordoned", corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable}}}}, Node{}},
	} {
		if d := cmp.Diff(c.want, ParseNode(&c.node)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
