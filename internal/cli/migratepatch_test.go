package cli

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
)

// Each term stands alone for the whole affinity, so each must keep Pods away; twice is as good as once.
func TestShunning(t *testing.T) {
	is := func(key string, op corev1.NodeSelectorOperator) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: op}
	}
	shun := is(v1beta1.LabelMigrating, corev1.NodeSelectorOpDoesNotExist)
	affinity := func(terms ...[]corev1.NodeSelectorRequirement) *corev1.Affinity {
		s := &corev1.NodeSelector{}
		for _, t := range terms {
			s.NodeSelectorTerms = append(s.NodeSelectorTerms, corev1.NodeSelectorTerm{MatchExpressions: t})
		}
		return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: s}}
	}
	type terms = []corev1.NodeSelectorRequirement
	rack, zone := is("rack", corev1.NodeSelectorOpExists), is("zone", corev1.NodeSelectorOpExists)
	for _, tc := range []struct {
		name     string
		in, want *corev1.Affinity
	}{
		{"none", nil, affinity(terms{shun})},
		{"of Pods only", &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}, &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, NodeAffinity: affinity(terms{shun}).NodeAffinity}},
		{"two terms", affinity(terms{rack}, terms{zone}), affinity(terms{rack, shun}, terms{zone, shun})},
		{"again", affinity(terms{rack, shun}), affinity(terms{rack, shun})},
	} {
		before := tc.in.DeepCopy()
		if diff := cmp.Diff(tc.want, shunning(tc.in)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if diff := cmp.Diff(before, tc.in); diff != "" {
			t.Errorf("%s: the input was changed: %s", tc.name, diff)
		}
	}
}

// What is remembered once is not forgotten when nodes join.
func TestRemember(t *testing.T) {
	d := &appsv1.DaemonSet{}
	was := before{Selector: map[string]string{"a": "b"}, Strategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType}}
	remember(d, was, []string{"n2", "n1"})
	b, patched := beforeOf(d)
	if !patched || !slices.Equal(b.Nodes, []string{"n1", "n2"}) {
		t.Fatalf("got %+v, %v", b, patched)
	}
	remember(d, b, []string{"n3", "n2"})
	if b, _ = beforeOf(d); !slices.Equal(b.Nodes, []string{"n1", "n2", "n3"}) || b.Selector["a"] != "b" || b.Strategy != was.Strategy {
		t.Errorf("got %+v", b)
	}
}

func TestContains(t *testing.T) {
	have := map[string]any{"a": int64(1), "b": map[string]any{"c": "d", "default": true}, "l": []any{"x"}}
	for _, tc := range []struct {
		want map[string]any
		is   bool
	}{
		{map[string]any{}, true},
		{map[string]any{"a": int64(1), "b": map[string]any{"c": "d"}}, true},
		{map[string]any{"b": map[string]any{"c": "e"}}, false},
		{map[string]any{"l": []any{"x", "y"}}, false},
		{map[string]any{"z": nil}, true},
		{map[string]any{"z": "1"}, false},
	} {
		if got := contains(have, tc.want); got != tc.is {
			t.Errorf("contains(%v) = %v", tc.want, got)
		}
	}
}

// A node is waited for until each router that selects it has been told all.
func TestSessions(t *testing.T) {
	rack, err := labels.Parse("rack=r1")
	if err != nil {
		t.Fatal(err)
	}
	peers := []peer{{name: "all"}, {name: "rack", nodes: []labels.Selector{rack}}}
	up := func(name string, sent int32) v1beta1.SpeakerPeer {
		return v1beta1.SpeakerPeer{Name: name, State: v1beta1.SessionEstablished, RoutesWanted: 2, RoutesSent: sent}
	}
	idle := v1beta1.SpeakerPeer{Name: "all", State: v1beta1.SessionIdle}
	for _, tc := range []struct {
		name    string
		rack    string
		have    []v1beta1.SpeakerPeer
		talking bool
		waiting string
	}{
		{"nothing yet", "r2", nil, false, "the session with all"},
		{"idle", "r2", []v1beta1.SpeakerPeer{idle}, false, "the session with all"},
		{"up", "r2", []v1beta1.SpeakerPeer{up("all", 2)}, true, ""},
		{"some routes", "r2", []v1beta1.SpeakerPeer{up("all", 1)}, true, "routes to all, 1 of 2 are sent"},
		{"one of two", "r1", []v1beta1.SpeakerPeer{up("all", 2)}, true, "the session with rack"},
		{"both", "r1", []v1beta1.SpeakerPeer{up("all", 2), up("rack", 2)}, true, ""},
	} {
		n := explain.Node{Object: &corev1.Node{}, Status: &v1beta1.SpeakerStatus{}}
		n.Object.Labels = map[string]string{"rack": tc.rack}
		n.Status.Status.BGP.Peers = tc.have
		if talking, waiting := sessions(n, peers); talking != tc.talking || waiting != tc.waiting {
			t.Errorf("%s: got %v, %q", tc.name, talking, waiting)
		}
	}
}
