package controllers

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// inbox collects what may have changed until the next pass. It never blocks and never grows beyond one entry for each
// Service; what happened to a Service is not remembered, only that it must be looked at.
type inbox struct {
	classes kube.Classes
	mu      sync.Mutex
	dirty   dirty
	signal  chan struct{}
}

// dirty is what a pass has to look at.
type dirty struct {
	config       bool                // pools or advertisements, or what the cluster uses itself
	all          bool                // every Service and reservation
	speakers     bool                // what speakers say, or which there are
	namespaces   map[string]struct{} // all that is in these
	services     keySet              // these Services
	moved        keySet              // Services of which the cache has another version; it may be one that was looked at
	reservations keySet
	gone         map[types.UID]struct{} // incarnations of either that do not exist any more
}

type keySet = map[types.NamespacedName]struct{}

func newDirty() dirty {
	return dirty{namespaces: map[string]struct{}{}, services: keySet{}, moved: keySet{}, reservations: keySet{}, gone: map[types.UID]struct{}{}}
}

func newInbox(c kube.Classes) *inbox {
	return &inbox{classes: c, dirty: newDirty(), signal: make(chan struct{}, 1)}
}

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
		AddFunc: func(o any) { b.markService(o.(*corev1.Service), nil) },
		UpdateFunc: func(was, is any) {
			b.markService(is.(*corev1.Service), was.(*corev1.Service).Status.LoadBalancer.Ingress)
		},
		DeleteFunc: func(o any) {
			s := final(o)
			b.put(func(d *dirty) {
				d.services[keyOf(s)] = struct{}{}
				d.gone[s.GetUID()] = struct{}{}
				d.config = d.config || foreign(b.classes, s.(*corev1.Service))
			})
		},
	}
}

// markService marks a Service; of one that is not ours the addresses count, because nobody else may have them.
func (b *inbox) markService(s *corev1.Service, was []corev1.LoadBalancerIngress) {
	b.put(func(d *dirty) {
		d.moved[keyOf(s)] = struct{}{}
		moved := !reflect.DeepEqual(s.Status.LoadBalancer.Ingress, was)
		d.config = d.config || moved && foreign(b.classes, s)
	})
}

// onConfig is the handler of the informers of pools and advertisements.
func (b *inbox) onConfig() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { b.markConfig() },
		UpdateFunc: func(_, _ any) { b.markConfig() },
		DeleteFunc: func(any) { b.markConfig() },
	}
}

// on returns the handler for a kind.
func (b *inbox) on(kind client.Object) toolscache.ResourceEventHandler {
	switch kind.(type) {
	case *corev1.Service:
		return b.onServices()
	case *v1beta1.IPReservation:
		return b.onReservations()
	case *corev1.Namespace:
		return b.onNamespaces()
	case *v1beta1.SpeakerStatus, *corev1.Pod:
		return b.onSpeakers()
	case *corev1.Node, *networkingv1.ServiceCIDR:
		return b.onCluster()
	}
	return b.onConfig()
}

// onReservations is the handler of the informer of IPReservations.
func (b *inbox) onReservations() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { b.markReservations(keyOf(o.(client.Object))) },
		UpdateFunc: func(_, o any) { b.markReservations(keyOf(o.(client.Object))) },
		DeleteFunc: func(o any) {
			r := final(o)
			b.put(func(d *dirty) {
				d.reservations[keyOf(r)] = struct{}{}
				d.gone[r.GetUID()] = struct{}{}
			})
		},
	}
}

// markReserved marks a reservation, and where its status now shows new addresses, the Services that may have waited for
// that: those of its namespace.
func (b *inbox) markReserved(key types.NamespacedName, shows bool) {
	b.put(func(d *dirty) {
		d.reservations[key] = struct{}{}
		if shows {
			d.namespaces[key.Namespace] = struct{}{}
		}
	})
}

func (b *inbox) markReservations(keys ...types.NamespacedName) {
	b.put(func(d *dirty) {
		for _, k := range keys {
			d.reservations[k] = struct{}{}
		}
	})
}

// onNamespaces is the handler of the informer of Namespaces, of which the labels count.
func (b *inbox) onNamespaces() toolscache.ResourceEventHandler {
	mark := func(o any) {
		b.put(func(d *dirty) { d.namespaces[o.(client.Object).GetName()] = struct{}{} })
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: mark,
		UpdateFunc: func(was, is any) {
			if !maps.Equal(was.(client.Object).GetLabels(), is.(client.Object).GetLabels()) {
				mark(is)
			}
		},
	}
}

// onSpeakers is the handler of the informers of what tells whether speakers are silent.
func (b *inbox) onSpeakers() toolscache.ResourceEventHandler {
	mark := func() { b.put(func(d *dirty) { d.speakers = true }) }
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { mark() },
		UpdateFunc: func(was, is any) {
			if !reflect.DeepEqual(saidBy(was), saidBy(is)) {
				mark()
			}
		},
		DeleteFunc: func(any) { mark() },
	}
}

// saidBy is what counts of a SpeakerStatus or Pod.
func saidBy(o any) []string {
	if s, ok := o.(*v1beta1.SpeakerStatus); ok {
		return append(slices.Clone(s.Status.Withdrawn), s.Status.Members.Missing...)
	}
	return nil
}

// onCluster is the handler of the informers of what the cluster uses itself.
func (b *inbox) onCluster() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { b.markConfig() },
		UpdateFunc: func(was, is any) {
			if !slices.Equal(occupiedBy(was), occupiedBy(is)) {
				b.markConfig()
			}
		},
		DeleteFunc: func(any) {
			b.put(func(d *dirty) { d.config, d.speakers = true, true }) // a Node that is gone is silent
		},
	}
}

// final returns the last known state of an object that is gone.
func final(o any) client.Object {
	if t, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = t.Obj
	}
	return o.(client.Object)
}

func keyOf(o client.Object) types.NamespacedName { return client.ObjectKeyFromObject(o) }
