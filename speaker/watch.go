package speaker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// signal is a flag that wakes one waiter: raising it again before it is seen changes nothing.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// watch wakes the passes whenever a cached object changes in a way that could change the plan, and the reporter when
// somebody else touches its object. It waits for an API server that serves all the kinds, and returns what tells that all that
// was there at first has been heard of; false means that ctx has ended.
func (s *Speaker) watch(ctx context.Context) (heard []toolscache.DoneChecker, ok bool) {
	passes := s.planning()
	for _, o := range cached() {
		h := passes
		switch o.(type) {
		case *corev1.Service:
			h = s.followServices()
		case *discoveryv1.EndpointSlice:
			h = s.followSlices()
		case *v1beta1.SpeakerStatus:
			h = toolscache.ResourceEventHandlerFuncs{
				UpdateFunc: func(any, any) { s.reporter.look.raise() },
				DeleteFunc: func(any) { s.reporter.look.raise() },
			}
		case *corev1.Secret:
			h = both(passes, each(func() { s.newSecret.raise(); s.touch() }))
		}
		all, ok := s.observe(ctx, o, h)
		if !ok {
			return nil, false
		}
		heard = append(heard, all)
	}
	return heard, true
}

// cached are the kinds that a speaker has caches of.
func cached() []client.Object {
	return append(read(), &corev1.Service{}, &discoveryv1.EndpointSlice{})
}

// read are the kinds that a speaker reads from its caches, and finds in the snapshot when there are none yet. Of the others there
// is the catalog.
func read() []client.Object {
	return []client.Object{
		&corev1.Node{}, &corev1.Pod{}, &corev1.Secret{},
		&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.BGPPeer{}, &v1beta1.BGPAdvertisement{}, &v1beta1.Community{},
		&v1beta1.BFDProfile{}, &v1beta1.SpeakerStatus{},
	}
}

// both calls one after the other.
func both(a, b toolscache.ResourceEventHandler) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, first bool) { a.OnAdd(o, first); b.OnAdd(o, first) },
		UpdateFunc: func(before, after any) { a.OnUpdate(before, after); b.OnUpdate(before, after) },
		DeleteFunc: func(o any) { a.OnDelete(o); b.OnDelete(o) },
	}
}

func each(f func()) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f() }, UpdateFunc: func(any, any) { f() }, DeleteFunc: func(any) { f() },
	}
}

func (s *Speaker) observe(ctx context.Context, o client.Object, h toolscache.ResourceEventHandler) (heard toolscache.DoneChecker, ok bool) {
	ok = s.await(ctx, "Waiting for the API server", func() error {
		informer, err := s.o.Cache.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", o, err)
		}
		handler, err := informer.AddEventHandler(h)
		if err != nil {
			return fmt.Errorf("watching %T: %w", o, err)
		}
		heard = handler.HasSyncedChecker()
		return nil
	})
	return heard, ok
}

// planning has the next pass look at everything when an object has come, gone, or changed in what matters.
func (s *Speaker) planning() toolscache.ResourceEventHandler {
	all := func() {
		s.dirt.markAll()
		s.touch()
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { all() },
		DeleteFunc: func(any) { all() },
		UpdateFunc: func(before, after any) {
			if matters(before, after) {
				all()
			}
		},
	}
}

// followServices keeps the catalog, and has the next pass look at what has changed.
func (s *Speaker) followServices() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.serviceIs(nil, o.(*knownService)) },
		UpdateFunc: func(before, after any) { s.serviceIs(before.(*knownService), after.(*knownService)) },
		DeleteFunc: func(o any) {
			if o, is := lastOf(o).(*knownService); is {
				s.serviceWas(o)
			}
		},
	}
}

func (s *Speaker) serviceIs(before, after *knownService) {
	s.live.put(after)
	switch {
	case after.changed(before):
		s.look(after.Key)
	case before != nil && after.Announced != before.Announced:
		s.dirt.mark(after.Key) // and no pass is made for its sake
	}
}

func (s *Speaker) serviceWas(o *knownService) {
	if s.live.drop(o.Key); o.Concern != foreign {
		s.look(o.Key)
	}
}

// followSlices does so of endpoints. Those of Services that are not announced, which are most of a cluster's, wake nobody.
func (s *Speaker) followSlices() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.sliceIs(o.(*knownSlice)) },
		UpdateFunc: func(before, after any) { s.sliceChanged(before.(*knownSlice), after.(*knownSlice)) },
		DeleteFunc: func(o any) {
			if o, is := lastOf(o).(*knownSlice); is {
				s.sliceWas(o)
			}
		},
	}
}

func (s *Speaker) sliceIs(o *knownSlice) {
	if s.live.putSlice(o) {
		s.look(o.of())
	}
}

func (s *Speaker) sliceWas(o *knownSlice) {
	if s.live.dropSlice(o) {
		s.look(o.of())
	}
}

func (s *Speaker) sliceChanged(before, after *knownSlice) {
	if before.of() != after.of() {
		s.sliceWas(before)
		s.sliceIs(after)
		return
	}
	if s.live.putSlice(after) && !after.Equal(before.Slice) {
		s.look(after.of())
	}
}

// look has the next pass look at a Service.
func (s *Speaker) look(service types.NamespacedName) {
	s.dirt.mark(service)
	s.touch()
}

// lastOf is what was last known of an object that has gone.
func lastOf(o any) any {
	if unseen, is := o.(toolscache.DeletedFinalStateUnknown); is {
		return unseen.Obj
	}
	return o
}
