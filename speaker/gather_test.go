package speaker

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

func newGatherer(c client.Reader, known *catalog) gatherer {
	return gatherer{reader: c, catalog: func() *catalog { return known }}
}

// slim is what caches hold in place of an object.
func slim[T any](t *testing.T, o client.Object) T {
	t.Helper()
	kept, err := newSlimmer(kube.DefaultClasses()).slim(o.DeepCopyObject())
	must(t, err)
	return kept.(T)
}

// catalogOf holds some Services and EndpointSlices.
func catalogOf(t *testing.T, objects ...client.Object) *catalog {
	t.Helper()
	c := newCatalog()
	for _, o := range objects {
		switch o.(type) {
		case *corev1.Service:
			c.put(slim[*knownService](t, o))
		case *discoveryv1.EndpointSlice:
			c.putSlice(slim[*knownSlice](t, o))
		}
	}
	return c
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
	c := catalogOf(t,
		newService("web"), newService("api"), newService("bare"), foreign,
		newSlice("web", "web-1", endpoint("n2", &yes, &yes), endpoint("n1", nil, nil)),
		newSlice("web", "web-2", endpoint("n3", &no, &yes), endpoint("n2", &yes, nil)),
		newSlice("api", "api-1", endpoint("n3", &no, &yes), endpoint("", &no, &no)),
		newSlice("foreign", "foreign-1", endpoint("n1", &yes, &yes)),
	)
	type row struct {
		Name      string
		Endpoints spec.Endpoints
	}
	var rows []row
	for _, s := range c.all() {
		rows = append(rows, row{s.Key.Name, s.Endpoints})
	}
	want := []row{
		{"api", spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n3"}}}},
		{"bare", spec.Endpoints{}},
		{"web", spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n1", "n2"}, Counts: []int{1, 2}}}},
	}
	if diff := cmp.Diff(want, rows, equalPrefixes); diff != "" {
		t.Error(diff)
	}
}

// TestOneBadObject: what cannot be used hurts only itself.
func TestOneBadObject(t *testing.T) {
	bad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
	bad.Spec.NodeSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Nonsense"}}}}
	good := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "good"}}
	objects, err := newGatherer(fakeAPI(t, bad, good).Build(), nil).config(context.Background())
	must(t, err)
	config, _ := spec.Parse(objects)
	if n := len(config.L2Advertisements); n != 1 || config.L2Advertisements[0].Name != "good" {
		t.Errorf("advertisements are %v", config.L2Advertisements)
	}
}
