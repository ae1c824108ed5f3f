package speaker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
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
// somebody else touches its object. It waits for an API server that serves all the kinds; false means that ctx has ended.
func (s *Speaker) watch(ctx context.Context) bool {
	passes := s.planning(ctx)
	for _, o := range cached() {
		h := passes
		switch o.(type) {
		case *v1beta1.SpeakerStatus:
			h = toolscache.ResourceEventHandlerFuncs{
				UpdateFunc: func(any, any) { s.reporter.look.raise() },
				DeleteFunc: func(any) { s.reporter.look.raise() },
			}
		case *corev1.Secret:
			h = both(passes, each(func() { s.newSecret.raise(); s.touch() }))
		}
		if !s.observe(ctx, o, h) {
			return false
		}
	}
	return true
}

// cached are the kinds that a speaker reads from its caches, and finds in the snapshot when there are none yet.
func cached() []client.Object {
	return []client.Object{
		&corev1.Service{}, &corev1.Node{}, &corev1.Pod{}, &corev1.Secret{}, &discoveryv1.EndpointSlice{},
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

func (s *Speaker) observe(ctx context.Context, o client.Object, h toolscache.ResourceEventHandler) bool {
	return s.await(ctx, "Waiting for the API server", func() error {
		informer, err := s.o.Cache.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err == nil {
			_, err = informer.AddEventHandler(h)
		}
		if err != nil {
			return fmt.Errorf("watching %T: %w", o, err)
		}
		return nil
	})
}

func (s *Speaker) planning(ctx context.Context) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.come(ctx, o) },
		DeleteFunc: func(o any) { s.come(ctx, o) },
		UpdateFunc: func(before, after any) { s.change(ctx, before, after) },
	}
}

// come takes note of a cached object that has come or gone.
func (s *Speaker) come(ctx context.Context, o any) {
	if s.note(ctx, o) {
		s.touch()
	}
	if service, ok := o.(*corev1.Service); ok {
		s.dirt.markAnew(client.ObjectKeyFromObject(service))
	}
}

// change does so of one that has changed.
func (s *Speaker) change(ctx context.Context, before, after any) {
	switch {
	case matters(s.o.Classes, before, after):
		was, is := s.note(ctx, before), s.note(ctx, after)
		if was || is {
			s.touch()
		}
	case notable(before, after):
		s.dirt.mark(after) // and no pass is made for its sake
	}
}

// note marks an object, if it concerns a plan.
func (s *Speaker) note(ctx context.Context, o any) bool {
	if !s.concerns(ctx, o) {
		return false
	}
	s.dirt.mark(o)
	if service, ok := o.(*corev1.Service); ok && !announced(s.o.Classes, service) {
		s.dirt.markAnew(client.ObjectKeyFromObject(service))
	}
	return true
}

// concerns passes over the endpoints of Services that are not announced, which are most of a cluster's. Should the
// Service come later, its own event counts.
func (s *Speaker) concerns(ctx context.Context, o any) bool {
	e, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return true
	}
	var service corev1.Service
	err := s.o.Client.Get(ctx, serviceOf(e), &service)
	return err == nil && announced(s.o.Classes, &service)
}
