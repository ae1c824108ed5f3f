package bfd

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrStopped is returned by Apply once Run has ended.
var ErrStopped = errors.New("the BFD engine has stopped")

// Options for New.
type Options struct {
	Log logr.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
	// Network opens sockets; nil means those of the kernel.
	Network Network
}

// Engine watches paths. Its methods may be called from any goroutine.
type Engine struct {
	log     logr.Logger
	metrics *metrics
	network Network

	requests chan request
	changed  chan struct{}
	done     chan struct{}
	running  atomic.Pointer[Running]
}

type request struct {
	desired Desired
	reply   chan Running // has room for the one reply
}

// New returns an engine that does nothing until Run. It fails on metrics that are registered already.
func New(o Options) (*Engine, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	if o.Network == nil {
		o.Network = newKernel()
	}
	e := &Engine{
		log: o.Log, metrics: m, network: o.Network,
		requests: make(chan request), changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	e.running.Store(&Running{})
	return e, nil
}

// Run works until ctx ends, then tells every peer that its session is down on purpose and returns nil with every socket
// closed and every goroutine ended. It must be called once. All sockets are opened in the network namespace of its thread.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.done)
	o := newOwner(e)
	defer o.close()
	o.loop(ctx)
	return nil
}

// Apply makes d the whole of what is watched and returns how it is. Sessions that are up stay up through changed settings; those that
// are no longer desired tell their peers so for some seconds. d must not be changed afterwards. Apply waits for Run; it
// returns an error only when ctx or Run ends first.
func (e *Engine) Apply(ctx context.Context, d Desired) (Running, error) {
	req := request{d, make(chan Running, 1)}
	select {
	case e.requests <- req:
	case <-e.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
	select {
	case r := <-req.reply:
		return r, nil
	case <-e.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
}

// Running returns how the desired paths are now; it must not be changed.
func (e *Engine) Running() Running { return *e.running.Load() }

// Changed receives, coalesced, when anything in Running changed. Whoever must not miss a session that went down and came up
// in between compares the Downs.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

func (e *Engine) publish(r Running) {
	if before := e.running.Swap(&r); maps.Equal(before.Sessions, r.Sessions) && maps.Equal(before.Problems, r.Problems) {
		return // whoever applies on every change would never rest
	}
	e.metrics.show(r)
	select {
	case e.changed <- struct{}{}:
	default:
	}
}
