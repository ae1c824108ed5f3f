package controllers

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

// seenAtMost is how many addresses a witness remembers.
const seenAtMost = 1024

// witness remembers which addresses Services let go of lately. A standby is one too: what is freed right before a leader
// is killed, or while nobody leads, no pool's status tells the next leader. It has a lock because the informer calls it.
type witness struct {
	now  func() time.Time
	mu   sync.Mutex
	seen []alloc.Freed // the latest last
}

// onServices is the handler of the informer of Services.
func (w *witness) onServices() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(was, is any) { w.saw(minus(heldBy(was.(*corev1.Service)), heldBy(is.(*corev1.Service)))) },
		DeleteFunc: func(o any) { w.saw(heldBy(final(o).(*corev1.Service))) },
	}
}

func (w *witness) saw(freed []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range freed {
		w.seen = append(w.seen, alloc.Freed{Addr: a, At: w.now()})
	}
	if n := len(w.seen); n > 2*seenAtMost {
		w.seen = slices.Clone(w.seen[n-seenAtMost:])
	}
}

// addTo returns the history of a pool with what was seen, of each address the latest time.
func (w *witness) addTo(history []alloc.Freed, p spec.Pool) []alloc.Freed {
	w.mu.Lock()
	defer w.mu.Unlock()
	latest := map[netip.Addr]time.Time{}
	for _, f := range slices.Concat(history, w.seen) {
		if p.Contains(f.Addr) && f.At.After(latest[f.Addr]) {
			latest[f.Addr] = f.At
		}
	}
	var all []alloc.Freed
	for a, at := range latest {
		all = append(all, alloc.Freed{Addr: a, At: at})
	}
	return all
}
