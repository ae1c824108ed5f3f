package controllers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// errFenced is the answer to a write that began while nobody could be sure that this process leads.
var errFenced = errors.New("not the leader, or not surely: nothing was sent")

// Timing is when a leader is a leader. All of it is wall time of the process that measures it; clocks of two machines
// are never compared.
type Timing struct {
	Lease time.Duration // others may take the lease when it was not renewed for so long; whole seconds
	Renew time.Duration // the leader writes nothing any more when it has not renewed for so long
	Retry time.Duration // how often the leader renews and the others look
	Write time.Duration // the API server gives up on a write after so long
}

// DefaultTiming replaces a killed leader within 6 to 8 seconds and one that left within about one.
func DefaultTiming() Timing {
	return Timing{Lease: 5 * time.Second, Renew: 3500 * time.Millisecond, Retry: 500 * time.Millisecond, Write: time.Second}
}

func (t Timing) validate() error {
	switch {
	case t.Lease%time.Second != 0:
		return errors.New("the lease must last whole seconds")
	case t.Write >= t.Lease-t.Renew:
		return errors.New("a write must end between the renew deadline and the end of the lease")
	}
	return nil
}

// fence stands in the HTTP client of everything that the leader writes. The last write of an old leader and the first
// look of a new one are kept apart like this:
//
//	old   ──renewed──────────▶ Renew: no write begins ──▶ +Write: the API server is done with the last one
//	new   ──saw the renewal──────────────────────────────────▶ Lease: takes over ──▶ +Write: first list
//
// It holds a lock because a write is to be either begun before the lease is given away, and then waited for, or not begun.
type fence struct {
	timing Timing
	now    func() time.Time

	inFlight sync.RWMutex              // read-held by every write
	until    atomic.Pointer[time.Time] // no write begins after this; nil: none at all
	settled  atomic.Pointer[time.Time] // what earlier leaders wrote is to be seen from here on
}

func newFence(t Timing) *fence { return &fence{timing: t, now: time.Now} }

// extend allows writes after a renewal that began at start.
func (f *fence) extend(start time.Time) {
	until := start.Add(f.timing.Renew)
	f.until.Store(&until)
}

// bar forbids writes from now on, without waiting for those in flight.
func (f *fence) bar() { f.until.Store(nil) }

// drain forbids writes and returns when the last one has returned.
func (f *fence) drain() {
	f.bar()
	f.inFlight.Lock()
	f.inFlight.Unlock() //nolint:gocritic,staticcheck // the wait is the point
}

// settleFor makes settle wait for d from now.
func (f *fence) settleFor(d time.Duration) {
	at := f.now().Add(d)
	f.settled.Store(&at)
}

// settle returns when no write of an earlier leader can still be on its way.
func (f *fence) settle(ctx context.Context) error {
	at := f.settled.Load()
	if at == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(at.Sub(f.now())):
		return nil
	}
}

func (f *fence) allows() bool {
	until := f.until.Load()
	return until != nil && f.now().Before(*until)
}

// wrap returns a transport that sends reads as they are and writes under the fence, each with the server-side timeout.
func (f *fence) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return next.RoundTrip(r)
		}
		f.inFlight.RLock()
		defer f.inFlight.RUnlock()
		if !f.allows() {
			return nil, errFenced
		}
		return next.RoundTrip(f.limited(r))
	})
}

// limited replaces the timeout that client-go asks of the API server, which is the client's own, by the shorter one of a
// write: so it is the server that gives up first, and an answer says how the write ended.
func (f *fence) limited(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set("timeout", f.timing.Write.String())
	r.URL.RawQuery = q.Encode()
	return r
}

type roundTripper func(*http.Request) (*http.Response, error)

func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r) }
