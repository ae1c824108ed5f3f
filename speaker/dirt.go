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
	mu       sync.Mutex
	all      bool
	services map[types.NamespacedName]bool
	slices   map[types.NamespacedName]types.NamespacedName // EndpointSlice → Service
}

// found is what was collected.
type found struct {
	all      bool // everything may have changed
	services map[types.NamespacedName]bool
	slices   map[types.NamespacedName]types.NamespacedName
}

// mark takes down a cached object that has changed, come or gone.
func (d *dirt) mark(o any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil {
		d.services, d.slices = map[types.NamespacedName]bool{}, map[types.NamespacedName]types.NamespacedName{}
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
	f := found{d.all, d.services, d.slices}
	d.all, d.services, d.slices = false, nil, nil
	return f
}
