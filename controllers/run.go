package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// writers is how many patches are on their way at once, at most. Half take the oldest first, half the newest.
const writers = 32

// result is how the write of a patch ended.
type result struct {
	patch patch
	after *corev1.Service // as the API server answered; nil with err
	err   error
}

// service runs the allocator while this process leads. It implements manager.Runnable.
type service struct {
	*allocator
	fence     *fence
	cache     cache.Cache
	client    client.Client // under the fence
	fullEvery time.Duration
}

// NeedLeaderElection keeps it to the leader.
func (s *service) NeedLeaderElection() bool { return true }

// Start waits until no earlier leader can be writing, builds the table, and serves until ctx ends. It returns when the
// last write has.
func (s *service) Start(ctx context.Context) error {
	if err := s.fence.settle(ctx); err != nil {
		return nil //nolint:nilerr // told to stop before it began
	}
	if err := s.listen(ctx); err != nil { // before the first list, so that nothing after it is missed
		return err
	}
	if err := s.firstPass(ctx); err != nil {
		return fmt.Errorf("building the table of addresses: %w", err)
	}
	s.log.Info("leading", "service", len(s.objects.ahead), "pool", len(s.snap.Pools))
	results := s.startWriters(ctx)
	err := s.loop(ctx, results)
	s.outbox.close()
	for range results { // until the last write has returned
	}
	return err
}

func (s *service) listen(ctx context.Context) error {
	services, err := s.cache.GetInformer(ctx, &corev1.Service{})
	if err != nil {
		return fmt.Errorf("watching Services: %w", err)
	}
	if _, err := services.AddEventHandler(s.inbox.onServices()); err != nil {
		return fmt.Errorf("watching Services: %w", err)
	}
	for _, kind := range []client.Object{&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}} {
		informer, err := s.cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(s.inbox.onConfig()); err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	return nil
}

// loop is the one goroutine that touches the allocator's state.
func (s *service) loop(ctx context.Context, results <-chan result) error {
	full := time.NewTicker(s.fullEvery)
	defer full.Stop()
	for {
		var retry <-chan time.Time
		if d, due := s.retries.wait(s.now()); due {
			retry = time.After(d)
		}
		select {
		case <-ctx.Done():
			return nil
		case r := <-results:
			s.written(r)
		case <-retry:
			s.inbox.mark(s.retries.take(s.now())...)
		case <-full.C:
			s.inbox.markAll()
		case <-s.inbox.ready():
			if err := s.pass(ctx, s.inbox.take()); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// startWriters starts the workers; the channel is closed when the last has ended.
func (s *service) startWriters(ctx context.Context) <-chan result {
	results := make(chan result, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			newest := i%2 == 1
			for p, ok := s.outbox.next(newest); ok; p, ok = s.outbox.next(newest) {
				results <- s.send(ctx, p)
			}
		})
	}
	go func() {
		all.Wait()
		close(results)
	}()
	return results
}

// send writes one patch. It is not broken off when ctx ends: then nobody would know whether it took effect.
func (s *service) send(ctx context.Context, p patch) result {
	after := &corev1.Service{}
	after.Namespace, after.Name = p.key.Namespace, p.key.Name
	err := s.client.Status().Patch(context.WithoutCancel(ctx), after, client.RawPatch(types.MergePatchType, p.body))
	return result{patch: p, after: after, err: err}
}
