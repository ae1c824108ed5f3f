package speaker

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestDirt(t *testing.T) {
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	var d dirt
	d.mark(web)
	d.mark(web)
	d.markAll()
	if f := d.take(); !f.all || len(f.services) != 1 || !f.services[web] {
		t.Errorf("found %+v", f)
	}
	if again := d.take(); again.all || len(again.services) > 0 {
		t.Errorf("taken once, and still there: %+v", again)
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
				d.mark(types.NamespacedName{Name: fmt.Sprintf("s-%d-%d", m, i)})
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
