// Package l2 makes this node answer for addresses on its local networks: ARP for IPv4, NDP for IPv6.
//
// It is told the whole of what to answer for (Desired) and reports what it truly answers for (Running) and whom else it has
// heard. It decides nothing: who announces which address is settled before. Nothing here knows of Services, and of other
// nodes only by which hardware addresses they go.
//
//	Apply ──► owner ──► table ─────────────► responder ◄──── request, solicitation; claims
//	            ▲    ├─► BPF filter, groups     │  └───────► reply, advertisement
//	            │    └─► announcements, probes ──┼───────────► gratuitous ARP, unsolicited NA
//	            ├────────────────────────────────┘ claims
//	  netlink ──┘
//
// The owner, Run's own goroutine, holds all state and opens all sockets. Each socket, one per interface and protocol,
// has a goroutine that reads, looks the target up in an immutable table, and answers.
package l2

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrStopped is returned by Apply once Run has ended.
var ErrStopped = errors.New("the L2 announcer has stopped")

// Options for New.
type Options struct {
	Log logr.Logger
	// Exclude lists name globs (path.Match) of interfaces never to announce on; nil means DefaultExclude.
	Exclude []string
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Announcer answers for addresses. Its methods may be called from any goroutine.
type Announcer struct {
	log     logr.Logger
	metrics *metrics
	system  func() (system, error)

	requests   chan request
	changed    chan struct{}
	ready      chan struct{}
	done       chan struct{}
	interfaces atomic.Pointer[[]Interface]
}

type request struct {
	desired Desired
	reply   chan Running // has room for the one reply
}

// New returns an announcer that does nothing until Run. It fails on a malformed glob and on metrics that are registered already.
func New(o Options) (*Announcer, error) {
	exclude := o.Exclude
	if exclude == nil {
		exclude = DefaultExclude()
	}
	if err := checkGlobs(exclude); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return newAnnouncer(o.Log, m, func() (system, error) { return newKernel(exclude) }), nil
}

func newAnnouncer(log logr.Logger, m *metrics, s func() (system, error)) *Announcer {
	a := &Announcer{
		log: log, metrics: m, system: s,
		requests: make(chan request), changed: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}),
	}
	a.interfaces.Store(&[]Interface{})
	return a
}

// Run works until ctx ends, then returns nil with every socket closed and every goroutine ended. It sends nothing on its
// way out. It returns an error if the interfaces cannot be listed or watched at its start. It must be called once.
func (a *Announcer) Run(ctx context.Context) error {
	defer close(a.done)
	s, err := a.system()
	if err != nil {
		return err
	}
	defer s.close()
	o := newOwner(a, s)
	defer o.close()
	if err := o.start(); err != nil {
		return err
	}
	o.loop(ctx)
	return nil
}

// Apply makes d the whole of what is answered for and returns what truly is. Addresses that were not answered on an
// interface before are announced there unasked; a pass that changes nothing sends nothing. d must not be changed
// afterwards. Apply waits for Run; it returns an error only when ctx or Run ends first.
func (a *Announcer) Apply(ctx context.Context, d Desired) (Running, error) {
	req := request{d, make(chan Running, 1)}
	select {
	case a.requests <- req:
	case <-a.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
	select {
	case r := <-req.reply:
		return r, nil
	case <-a.done:
		return Running{}, ErrStopped
	case <-ctx.Done():
		return Running{}, ctx.Err()
	}
}

// Interfaces returns the eligible interfaces, sorted by name, as of the last scan.
func (a *Announcer) Interfaces() []Interface {
	out := slices.Clone(*a.interfaces.Load())
	for i := range out {
		out[i] = out[i].clone()
	}
	return out
}

// Changed receives, coalesced, when interfaces came, went or changed, or when a socket failed or works again: what Apply
// last returned may no longer hold, and it is time to plan again.
func (a *Announcer) Changed() <-chan struct{} { return a.changed }

// Ready is closed after the first scan, once sockets are open: from then on an Apply takes effect at once.
func (a *Announcer) Ready() <-chan struct{} { return a.ready }
