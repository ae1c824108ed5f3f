package controllers

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
)

// inbox collects what may have changed until the next pass. It never blocks and never grows beyond one entry for each
// Service; what happened to a Service is not remembered, only that it must be looked at.
type inbox struct {
	mu     sync.Mutex
	dirty  dirty
	signal chan struct{}
}

// dirty is what a pass has to look at.
type dirty struct {
	config   bool                              // pools or advertisements
	all      bool                              // every Service
	services map[types.NamespacedName]struct{} // these Services
	gone     map[types.UID]struct{}            // incarnations of Services that do not exist any more
}

func newDirty() dirty {
	return dirty{services: map[types.NamespacedName]struct{}{}, gone: map[types.UID]struct{}{}}
}

func newInbox() *inbox { return &inbox{dirty: newDirty(), signal: make(chan struct{}, 1)} }

// ready carries a value when something was put in since the last take.
func (b *inbox) ready() <-chan struct{} { return b.signal }

// take empties the inbox.
func (b *inbox) take() dirty {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.dirty
	b.dirty = newDirty()
	return d
}

func (b *inbox) put(f func(*dirty)) {
	b.mu.Lock()
	f(&b.dirty)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *inbox) markConfig() { b.put(func(d *dirty) { d.config = true }) }

func (b *inbox) markAll() { b.put(func(d *dirty) { d.all = true }) }

func (b *inbox) mark(keys ...types.NamespacedName) {
	b.put(func(d *dirty) {
		for _, k := range keys {
			d.services[k] = struct{}{}
		}
	})
}

// onServices is the handler of the informer of Services.
func (b *inbox) onServices() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { b.mark(keyOf(o.(*corev1.Service))) },
		UpdateFunc: func(_, o any) { b.mark(keyOf(o.(*corev1.Service))) },
		DeleteFunc: func(o any) {
			if t, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = t.Obj
			}
			s := o.(*corev1.Service)
			b.put(func(d *dirty) {
				d.services[keyOf(s)] = struct{}{}
				d.gone[s.UID] = struct{}{}
			})
		},
	}
}

// onConfig is the handler of the informers of pools and advertisements.
func (b *inbox) onConfig() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { b.markConfig() },
		UpdateFunc: func(_, _ any) { b.markConfig() },
		DeleteFunc: func(any) { b.markConfig() },
	}
}

func keyOf(s *corev1.Service) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}
