package speaker

import (
	"sync"

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
}

// mark takes down a Service that has changed, come or gone, itself or its endpoints.
func (d *dirt) mark(service types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil {
		d.services = map[types.NamespacedName]bool{}
	}
	d.services[service] = true
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
