package explain

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestWhatIf: each line is a change of the healthy cluster, in which default/late waits for an address.
func TestWhatIf(t *testing.T) {
	base := func() Facts {
		return healthy(func(f *Facts) {
			f.Services = append(f.Services, service("api", "192.0.2.11"), service("late"))
		})
	}
	apply := func(o any) func(Facts) (Facts, error) { return func(f Facts) (Facts, error) { return f.Apply(o) } }
	gone := func(kind, name string) func(Facts) (Facts, error) {
		r := Ref{Kind: kind, NamespacedName: types.NamespacedName{Name: name}}
		if kind == "Service" {
			r.Namespace = "default"
		}
		return func(f Facts) (Facts, error) { return f.Delete(r) }
	}
	larger, clash := pool("lan", "192.0.2.10-192.0.2.12"), pool("young", "192.0.2.11-192.0.2.20")
	moved := service("web", "192.0.2.10").Object.DeepCopy()
	moved.Annotations = map[string]string{v1beta1.AnnotationIPs: "192.0.2.12"}
	moved.Status = corev1.ServiceStatus{}
	for _, c := range []struct {
		name string
		do   []func(Facts) (Facts, error)
		want string
		loss bool
	}{
		{"nothing", nil, "", false},
		{"the same pool again", []func(Facts) (Facts, error){apply(new(pool("lan", "192.0.2.10-192.0.2.11")))}, "", false},
		{"a larger pool", []func(Facts) (Facts, error){apply(&larger)}, "gains Service default/late", false},
		{"a pool that overlaps", []func(Facts) (Facts, error){apply(&clash)}, "says IPAddressPool young", false},
		{"a Service goes", []func(Facts) (Facts, error){gone("Service", "web")}, "gains Service default/late; loses Service default/web", true},
		{"a Service goes elsewhere", []func(Facts) (Facts, error){apply(&larger), apply(moved)}, "moves Service default/web", false}, // its old address is free when its status shows it no more,
		{"the advertisement goes", []func(Facts) (Facts, error){gone("L2Advertisement", "lan")}, "loses Service default/api; loses Service default/web", true},
		{"all nodes go", []func(Facts) (Facts, error){gone("Node", "n1"), gone("Node", "n2")}, "loses Service default/api; loses Service default/web", true},
		{"the pool goes", []func(Facts) (Facts, error){gone("IPAddressPool", "lan")}, "says Service default/api; says Service default/late; says Service default/web", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := base()
			after := base()
			var err error
			for _, do := range c.do {
				if after, err = do(after); err != nil {
					t.Fatal(err)
				}
			}
			changes := WhatIf(Look(before), Look(after))
			var words []string
			for _, x := range changes {
				words = append(words, fmt.Sprintf("%s %s", x.Effect, x.Subject))
			}
			if got := strings.Join(words, "; "); got != c.want || Lossy(changes) != c.loss {
				t.Errorf("got  %s\nwant %s\n%+v", got, c.want, changes)
			}
		})
	}
}

// TestDrained: what the drained node had goes to the other.
func TestDrained(t *testing.T) {
	f := healthy()
	v := Look(f)
	owner := v.Announcers(v.parse(f.Services[0]).Held[0])[0]
	changes := WhatIf(v, Look(f.Drained(owner)))
	if len(changes) != 1 || changes[0].Effect != Moves || !strings.Contains(changes[0].Text, "instead of node "+owner) {
		t.Errorf("%+v", changes)
	}
	if len(f.Nodes[0].Object.Spec.Taints)+len(f.Nodes[1].Object.Spec.Taints) > 0 {
		t.Error("the facts themselves were changed")
	}
	if again := WhatIf(Look(f.Drained("n9")), v); len(again) > 0 {
		t.Errorf("an unknown node changes %+v", again)
	}
}

// TestAnothersAddress: what another load balancer has written is adopted by the pool that holds it, and written over by any other.
func TestAnothersAddress(t *testing.T) {
	strange := service("strange", "198.51.100.7")
	strange.Object.Annotations = nil
	before := healthy(func(f *Facts) { f.Services = append(f.Services, strange) })
	for _, c := range []struct {
		pool v1beta1.IPAddressPool
		want string
	}{
		{pool("old", "198.51.100.0-198.51.100.9"), "gains Service default/strange: 198.51.100.7"},
		{pool("other", "203.0.113.1-203.0.113.9"), "moves Service default/strange: from 198.51.100.7, which its status shows, to 203.0.113.1"},
	} {
		start := before
		start.Objects.Pools = nil
		after, err := start.Apply(&c.pool)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range WhatIf(Look(start), Look(after)) {
			if strings.HasSuffix(x.Subject, "strange") {
				got = append(got, fmt.Sprintf("%s %s: %s", x.Effect, x.Subject, x.Text))
			}
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestApplyKeepsWhatTheClusterWrites(t *testing.T) {
	f := healthy()
	o := f.Services[0].Object.DeepCopy()
	o.Status, o.UID, o.Annotations = corev1.ServiceStatus{}, "", map[string]string{"x": "y"}
	o.Spec.IPFamilies = nil
	after, err := f.Apply(o)
	if err != nil {
		t.Fatal(err)
	}
	got := after.Services[0].Object
	if len(got.Status.LoadBalancer.Ingress) != 1 || got.UID != "web" || got.Annotations[v1beta1.AnnotationAllocatedFrom] != "lan" || got.Annotations["x"] != "y" || len(got.Spec.IPFamilies) != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := f.Apply(&corev1.Secret{}); err == nil {
		t.Error("a Secret decides something")
	}
	if _, err := f.Delete(Ref{Kind: "Node", NamespacedName: types.NamespacedName{Name: "n9"}}); err == nil {
		t.Error("what is not there was deleted")
	}
}
