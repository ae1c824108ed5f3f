package speaker

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// dirt collects, from the caches' goroutines, what the next pass has to look at. It never blocks and holds one entry for
// each Service at most.
type dirt struct {
	mu sync.Mutex
	found
}

// found is what was collected.
type found struct {
	all      bool // everything may have changed
	services map[types.NamespacedName]bool
	anew     map[types.NamespacedName]bool                 // of these, those that were not announced meanwhile: nobody has watched their endpoints
	slices   map[types.NamespacedName]types.NamespacedName // EndpointSlice → Service
}

// mark takes down a cached object that has changed, come or gone.
func (d *dirt) mark(o any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil {
		d.services, d.anew = map[types.NamespacedName]bool{}, map[types.NamespacedName]bool{}
		d.slices = map[types.NamespacedName]types.NamespacedName{}
	}
	switch o := o.(type) {
	case *corev1.Service:
		d.services[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = true
	case *discoveryv1.EndpointSlice:
		service := serviceOf(o)
		d.services[service] = true
		d.slices[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = service
	default:
		d.all = true
	}
}

// markAnew says of a Service that was marked that it was not announced, be it for a moment.
func (d *dirt) markAnew(key types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services[key] {
		d.anew[key] = true
	}
}

// markAll says that anything may have changed.
func (d *dirt) markAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = true
}

// take returns what has come together since the last time.
func (d *dirt) take() found {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.found
	d.found = found{}
	return f
}
