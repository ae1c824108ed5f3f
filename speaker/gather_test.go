package speaker

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/members"
)

func newGatherer(c client.Reader, l *logbook) gatherer {
	return gatherer{reader: c, classes: kube.DefaultClasses(), log: l.logger(), book: book{}}
}

func TestAnnounced(t *testing.T) {
	ours, foreign := v1beta1.DefaultLoadBalancerClass, "example.com/lb"
	tests := []struct {
		name   string
		change func(*corev1.Service)
		want   bool
	}{
		{"marked", func(*corev1.Service) {}, true},
		{"of our class", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &ours }, true},
		{"of a foreign class", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &foreign }, false},
		{"not marked", func(s *corev1.Service) { s.Annotations = nil }, false},
		{"not a load balancer any more", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP }, false},
		{"being deleted", func(s *corev1.Service) { s.DeletionTimestamp = &metav1.Time{} }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := announced(kube.DefaultClasses(), newService("web", tt.change)); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestServices(t *testing.T) {
	yes, no := true, false
	foreign := newService("foreign", func(s *corev1.Service) { s.Annotations = nil })
	c := fakeAPI(t,
		newService("web"), newService("api"), newService("bare"), foreign,
		newSlice("web", "web-1", endpoint("n2", &yes, &yes), endpoint("n1", nil, nil)),
		newSlice("web", "web-2", endpoint("n3", &no, &yes), endpoint("n2", &yes, nil)),
		newSlice("api", "api-1", endpoint("n3", &no, &yes), endpoint("", &no, &no)),
		newSlice("foreign", "foreign-1", endpoint("n1", &yes, &yes)),
	).Build()
	got, err := newGatherer(c, &logbook{}).services(context.Background())
	must(t, err)
	type row struct {
		Name      string
		Endpoints spec.Endpoints
	}
	var rows []row
	for _, s := range got {
		rows = append(rows, row{s.Key.Name, s.Endpoints})
	}
	want := []row{
		{"api", spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n3"}}}},
		{"bare", spec.Endpoints{}},
		{"web", spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n1", "n2"}}}},
	}
	if diff := cmp.Diff(want, rows, equalPrefixes); diff != "" {
		t.Error(diff)
	}
}

func TestNodes(t *testing.T) {
	type row struct {
		Name         string
		Alive, Ready bool
		Interfaces   []plan.Interface
	}
	facts := []byte(`{"interfaces":[{"name":"eth0","up":true}]}`)
	known := []plan.Interface{{Name: "eth0", Up: true}}
	ready := members.Member{Name: "n2", State: members.Ready, Facts: facts, Current: true}
	logs := &logbook{}
	g := newGatherer(fakeAPI(t, newNode("n2"), newNode("n1")).Build(), logs)
	steps := []struct {
		name   string
		member members.Member
		want   row
	}{
		{"ready", ready, row{"n2", true, true, known}},
		{"gone", members.Member{Name: "stranger"}, row{Name: "n2"}},
		{"back, its facts are not", members.Member{Name: "n2", State: members.Ready}, row{"n2", true, true, known}},
		{"starting", members.Member{Name: "n2", State: members.Starting, Facts: facts}, row{"n2", true, false, known}},
		{"draining", members.Member{Name: "n2", State: members.Draining, Facts: facts}, row{"n2", true, false, known}},
		{"not understood", members.Member{Name: "n2", State: members.Ready, Facts: []byte("?")}, row{"n2", true, true, nil}},
		{"again not understood", members.Member{Name: "n2", State: members.Ready, Facts: []byte("?")}, row{"n2", true, true, nil}},
	}
	for _, s := range steps {
		got, err := g.nodes(context.Background(), []members.Member{s.member})
		must(t, err)
		var rows []row
		for _, n := range got {
			rows = append(rows, row{n.Name, n.Alive, n.Ready, n.Interfaces})
			if !n.Node.Ready {
				t.Errorf("%s: the Node of %s was not read", s.name, n.Name)
			}
		}
		if diff := cmp.Diff([]row{{Name: "n1"}, s.want}, rows, equalPrefixes); diff != "" {
			t.Errorf("%s: %s", s.name, diff)
		}
	}
	if n := logs.count("not understood", `"node"="n2"`); n != 1 {
		t.Errorf("%d lines tell that a speaker is not understood, want 1:\n%s", n, logs.lines)
	}
}

// TestOneBadObject: what cannot be used hurts only itself.
func TestOneBadObject(t *testing.T) {
	bad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
	bad.Spec.NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Nonsense"}}}}
	good := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "good"}}
	w, err := newGatherer(fakeAPI(t, bad, good).Build(), &logbook{}).world(context.Background(), nil)
	must(t, err)
	if n := len(w.Config.L2Advertisements); n != 1 || w.Config.L2Advertisements[0].Name != "good" {
		t.Errorf("advertisements are %v", w.Config.L2Advertisements)
	}
}
