package speaker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestDirt(t *testing.T) {
	name := func(s string) types.NamespacedName { return types.NamespacedName{Namespace: "default", Name: s} }
	type services = map[types.NamespacedName]bool
	type slices = map[types.NamespacedName]types.NamespacedName
	tests := []struct {
		name  string
		marks []any
		want  found
	}{
		{"nothing", nil, found{}},
		{"a Service", []any{newService("web"), newService("web")}, found{services: services{name("web"): true}, slices: slices{}}},
		{"an EndpointSlice", []any{newSlice("web", "web-1")},
			found{services: services{name("web"): true}, slices: slices{name("web-1"): name("web")}}},
		{"an EndpointSlice that goes to another Service", []any{newSlice("web", "s"), newSlice("api", "s")},
			found{services: services{name("web"): true, name("api"): true}, slices: slices{name("s"): name("api")}}},
		{"anything else", []any{newNode("n1")}, found{all: true, services: services{}, slices: slices{}}},
		{"anything else beside a Service", []any{newService("web"), &v1beta1.IPAddressPool{}},
			found{all: true, services: services{name("web"): true}, slices: slices{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d dirt
			for _, o := range tt.marks {
				d.mark(o)
			}
			if diff := cmp.Diff(tt.want, d.take(), cmp.AllowUnexported(found{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if again := d.take(); again.all || len(again.services)+len(again.slices) > 0 {
				t.Errorf("taken once, and still there: %+v", again)
			}
		})
	}
}

// TestDirtLosesNothing: caches mark from many goroutines while a pass takes.
func TestDirtLosesNothing(t *testing.T) {
	const markers, each = 4, 500
	var d dirt
	seen := map[types.NamespacedName]bool{}
	take := func() {
		for key := range d.take().services {
			seen[key] = true
		}
	}
	var marking sync.WaitGroup
	for m := range markers {
		marking.Go(func() {
			for i := range each {
				d.mark(newService(fmt.Sprintf("s-%d-%d", m, i)))
			}
		})
	}
	for range 100 {
		take()
	}
	marking.Wait()
	take()
	if len(seen) != markers*each {
		t.Errorf("%d of %d Services were taken", len(seen), markers*each)
	}
}
