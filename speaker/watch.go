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
	for _, o := range []client.Object{
		&corev1.Service{}, &corev1.Node{}, &corev1.Pod{}, &corev1.Secret{}, &discoveryv1.EndpointSlice{},
		&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.BGPPeer{}, &v1beta1.BGPAdvertisement{}, &v1beta1.Community{},
		&v1beta1.BFDProfile{},
	} {
		if !s.observe(ctx, o, passes) {
			return false
		}
	}
	return s.observe(ctx, &v1beta1.SpeakerStatus{}, toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(any, any) { s.reporter.look.raise() },
		DeleteFunc: func(any) { s.reporter.look.raise() },
	})
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
	seen := func(objects ...any) {
		for _, o := range objects {
			if s.concerns(ctx, o) {
				s.changed.raise()
				return
			}
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { seen(o) },
		DeleteFunc: func(o any) { seen(o) },
		UpdateFunc: func(before, after any) {
			if matters(s.o.Classes, before, after) {
				seen(before, after)
			}
		},
	}
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
