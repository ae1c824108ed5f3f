package liveness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Verdict is how a target is.
type Verdict struct {
	State State
	// Since is when it became so.
	Since time.Time
}

// Detector probes its targets and answers those who probe this node. Make it with New; all methods may be called from
// any goroutine, before and during Run.
type Detector struct {
	opts     Options
	interval time.Duration
	metrics  *metrics

	keys    atomic.Pointer[keys]
	targets atomic.Pointer[map[string]netip.AddrPort]
	wake    signal // the prober's: other targets

	verdicts atomic.Pointer[map[string]Verdict]
	changed  signal
	started  atomic.Bool
}

// New checks the options and registers the metrics; it starts nothing and opens no socket.
func New(o Options) (*Detector, error) {
	fail := func(err error) (*Detector, error) {
		return nil, fmt.Errorf("making the liveness detector of %s: %w", o.Name, err)
	}
	if err := o.complete(); err != nil {
		return fail(err)
	}
	interval, ok := o.Profile.interval()
	if !ok {
		return fail(fmt.Errorf("no profile is called %q", o.Profile))
	}
	ks, err := deriveKeys(o.Key)
	if err != nil {
		return fail(err)
	}
	o.Key = nil // only the derived key is needed from here on
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return fail(err)
	}
	d := &Detector{opts: o, interval: interval, metrics: m, wake: newSignal(), changed: newSignal()}
	d.keys.Store(&ks)
	d.targets.Store(&map[string]netip.AddrPort{})
	d.verdicts.Store(&map[string]Verdict{})
	return d, nil
}

// Run probes and answers until the context ends; it fails if it is called twice. Sockets that cannot be opened, or fail,
// are opened again.
func (d *Detector) Run(ctx context.Context) error {
	if !d.started.CompareAndSwap(false, true) {
		return errors.New("running the liveness detector: it ran before")
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { (&responder{d: d}).run(ctx); return nil })
	tasks.Go(func() error { newProber(d).run(ctx); return nil })
	return tasks.Wait()
}

// SetTargets tells whom to probe, by node name; this node is left out. A target that stays at its address keeps its
// verdict. Port 0 means DefaultPort.
func (d *Detector) SetTargets(targets map[string]netip.AddrPort) {
	clean := make(map[string]netip.AddrPort, len(targets))
	for name, a := range targets {
		if name != d.opts.Name && a.Addr().IsValid() && name != "" && len(name) <= maxName {
			clean[name] = withPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	if maps.Equal(clean, *d.targets.Load()) {
		return
	}
	d.targets.Store(&clean)
	d.wake.raise()
}

// SetKeys replaces the shared secrets: the primary signs requests, all of them are accepted, and a reply is signed with
// the key of its request. It fails if one is empty. A rotation without a gap goes by the steps of members.Group.SetKeys.
func (d *Detector) SetKeys(primary []byte, others ...[]byte) error {
	ks, err := deriveKeys(append([][]byte{primary}, others...)...)
	if err != nil {
		return fmt.Errorf("setting liveness keys: %w", err)
	}
	d.keys.Store(&ks)
	return nil
}

// Verdicts is how each target is: a snapshot that never changes. A target that was just set may not be there yet.
func (d *Detector) Verdicts() map[string]Verdict { return *d.verdicts.Load() }

// Changed gets a value after Verdicts has changed, one for any number of changes. It is for one receiver.
func (d *Detector) Changed() <-chan struct{} { return d.changed }

// signal says that something happened, once for any number of times.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}
