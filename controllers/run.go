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
	"github.com/belfry-lb/belfry/internal/kube"
)

// writers is how many patches are on their way at once, at most. Half take the oldest first, half the newest.
const writers = 32

// reservationWriters is the same for IPReservations, which are few.
const reservationWriters = 4

// result is how the write of a patch ended.
type result struct {
	patch patch
	after client.Object // as the API server answered; nil with err
	err   error
}

// service runs the allocator while this process leads. It implements manager.Runnable.
type service struct {
	*allocator
	fence     *fence
	cache     cache.Cache
	client    client.Client // under the fence
	fullEvery time.Duration
	passing   kube.Passes
}

// NeedLeaderElection keeps it to the leader.
func (s *service) NeedLeaderElection() bool { return true }

// Start waits until no earlier leader can be writing, builds the table, and serves until ctx ends. It returns when the
// last write has.
func (s *service) Start(ctx context.Context) error {
	defer close(s.report.allocated)
	if err := s.fence.settle(ctx); err != nil {
		return nil // told to stop before it began
	}
	if err := s.listen(ctx); err != nil { // before the first list, so that nothing after it is missed
		return err
	}
	results := s.startWriters(ctx)
	err := s.lead(ctx, results)
	s.services.outbox.close()
	s.reservations.outbox.close()
	for range results { // until the last write has returned
	}
	s.news.rest()
	return err
}

func (s *service) lead(ctx context.Context, results <-chan result) error {
	if err := s.firstPass(ctx); err != nil { // the writers begin before it ends, but not before everybody's verdict is known
		return fmt.Errorf("building the table of addresses: %w", err)
	}
	s.log.Info("leading", "service", len(s.objects.ahead), "pool", len(s.snap.Pools))
	return s.loop(ctx, results)
}

func (s *service) listen(ctx context.Context) error {
	for _, kind := range s.watched() {
		informer, err := s.cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(s.inbox.on(kind)); err != nil {
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
		select {
		case <-ctx.Done():
			return nil
		case r := <-results:
			s.written(r)
			for range len(results) { // those that are there already, so that one pass serves all
				s.written(<-results)
			}
		case <-s.news.due(s.services.outbox.waiting()):
			s.news.some()
		case <-s.alarm():
			s.inbox.mark(s.services.retries.take(s.now())...)
			s.inbox.markReservations(s.reservations.retries.take(s.now())...)
		case <-full.C:
			s.inbox.markAll()
		case <-s.inbox.ready():
			end := s.passing.Begin()
			err := s.pass(ctx, s.inbox.take())
			end()
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// alarm rings when something is to be tried again, or an address has rested.
func (s *service) alarm() <-chan time.Time {
	var first time.Time
	for _, r := range []*retries{s.services.retries, s.reservations.retries} {
		if !r.next.IsZero() && (first.IsZero() || r.next.Before(first)) {
			first = r.next
		}
	}
	if rested, ok := s.table.Wake(); ok && (first.IsZero() || rested.Before(first)) {
		first = rested
	}
	if first.IsZero() {
		return nil
	}
	return time.After(first.Sub(s.now()))
}

// startWriters starts the workers; the channel is closed when the last has ended.
func (s *service) startWriters(ctx context.Context) <-chan result {
	results := make(chan result, writers)
	var all sync.WaitGroup
	write := func(b *outbox, newest bool) {
		for p, ok := b.next(newest); ok; p, ok = b.next(newest) {
			results <- s.send(ctx, p)
		}
	}
	for i := range writers {
		all.Go(func() { write(s.services.outbox, i%2 == 1) })
	}
	for i := range reservationWriters {
		all.Go(func() { write(s.reservations.outbox, i%2 == 1) })
	}
	go func() {
		all.Wait()
		close(results)
	}()
	return results
}

// send writes one patch. It is not broken off when ctx ends: then nobody would know whether it took effect.
func (s *service) send(ctx context.Context, p patch) result {
	var after client.Object = &corev1.Service{}
	if p.reserves {
		after = &v1beta1.IPReservation{}
	}
	after.SetNamespace(p.key.Namespace)
	after.SetName(p.key.Name)
	err := s.client.Status().Patch(context.WithoutCancel(ctx), after, client.RawPatch(types.MergePatchType, p.body))
	return result{patch: p, after: after, err: err}
}
