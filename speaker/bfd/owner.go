package bfd

import (
	"context"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// retry is the pause before sockets that could not be opened or have failed are tried again.
	retry = time.Second
	// farewell is for how long a peer is told that its session is no longer wanted: three packets at the slow rate.
	farewell = 2500 * time.Millisecond
	// inboxSize is how many packets may wait for the owner before sockets' buffers fill.
	inboxSize = 1024
)

// owner is the one goroutine that owns sessions and sockets. Each turn takes what has come in, does what is due, and
// publishes what changed.
type owner struct {
	e     *Engine
	start time.Time
	rand  *rand.Rand

	desired  Desired
	invalid  map[Path]string
	sessions *table

	listeners map[Scope]*listener
	echoes    map[echoKey]*listener
	failed    map[Scope]string // scopes without a socket, and why
	retryAt   instant

	inbox   chan arrived
	stop    chan struct{}
	readers sync.WaitGroup
	buffer  [maxLen]byte
	dirty   bool
}

func newOwner(e *Engine) *owner {
	seed := random(16)
	return &owner{
		e: e, start: time.Now(), sessions: newTable(), invalid: map[Path]string{},
		rand:      rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed), binary.BigEndian.Uint64(seed[8:]))),
		listeners: map[Scope]*listener{}, echoes: map[echoKey]*listener{}, failed: map[Scope]string{}, retryAt: never,
		inbox: make(chan arrived, inboxSize), stop: make(chan struct{}),
	}
}

func (o *owner) now() instant { return time.Since(o.start) }

func (o *owner) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	armed := never
	for {
		if due := o.due(); due != armed {
			armed = due
			timer.Reset(due - o.now())
		}
		var asked *request
		select {
		case <-ctx.Done():
			return
		case r := <-o.e.requests:
			o.take(r.desired)
			asked = &r
		case a := <-o.inbox:
			o.receive(&a)
		case <-timer.C:
			armed = never
		}
		o.drain()
		o.expire()
		o.report(asked)
	}
}

// due is when there is something to do without being asked.
func (o *owner) due() instant { return min(o.sessions.due.first(), o.retryAt) }

// drain takes all that is waiting, so that nobody is declared dead whose packet has been read already.
func (o *owner) drain() {
	for range inboxSize {
		select {
		case a := <-o.inbox:
			o.receive(&a)
		default:
			return
		}
	}
}

func (o *owner) receive(a *arrived) {
	switch {
	case a.err != nil:
		o.lost(a.from, a.err)
	case a.from.echo != nil:
		o.receiveEcho(a)
	default:
		o.receivePacket(a)
	}
}

func (o *owner) receivePacket(a *arrived) {
	s := o.sessions.find(a.from.scope, a.meta, a.packet.YourDiscr)
	if s == nil {
		o.e.metrics.drop(droppedUnknown)
		return
	}
	if s.path.MultiHop && a.meta.TTL < s.set.MinTTL {
		o.e.metrics.drop(droppedTTL)
		return
	}
	was := s.state
	final, err := s.machine.receive(o.now(), &a.packet, a.raw[:a.n])
	if err != nil {
		o.e.metrics.drop(droppedAuth)
		return
	}
	s.local, s.ifIndex = a.meta.Local, a.meta.IfIndex
	if final {
		o.send(s, true)
	}
	o.after(s, was)
}

// expire does what is due.
func (o *owner) expire() {
	now := o.now()
	if o.retryAt <= now {
		o.openSockets()
	}
	for o.sessions.due.first() <= now {
		s := o.sessions.due[0]
		if s.leaveAt <= now {
			o.forget(s)
			continue
		}
		was := s.state
		due := s.expire(now)
		if due.control {
			o.send(s, false)
		}
		if due.echo {
			o.sendEcho(s)
		}
		o.after(s, was)
	}
}

// after notes what a step did to a session.
func (o *owner) after(s *session, was State) {
	o.sessions.due.moved(s)
	if s.changed {
		s.changed, o.dirty = false, true
	}
	if s.state != was && (s.state == Up || was == Up) {
		o.e.metrics.transitions.WithLabelValues(s.state.String()).Inc()
		o.e.log.Info("a BFD session changed", "peer", s.path.Peer, "interface", s.path.Interface,
			"state", s.state.String(), "reason", string(s.cause))
	}
}

func (o *owner) send(s *session, final bool) {
	if s.sender == nil {
		return
	}
	if err := s.sender.Write(s.encode(o.buffer[:0], final)); err != nil {
		o.sendFailed(s, err)
		return
	}
	o.solve(s)
}

// solve takes a problem back.
func (o *owner) solve(s *session) {
	if s.problem != "" {
		s.problem, o.dirty = "", true
	}
}

// report answers who asked and publishes what changed.
func (o *owner) report(asked *request) {
	if o.dirty {
		o.dirty = false
		o.e.publish(o.snapshot())
	}
	if asked != nil {
		asked.reply <- o.e.Running()
	}
}

func (o *owner) snapshot() Running {
	r := Running{Sessions: make(map[Path]Status, len(o.sessions.named)), Problems: map[Path]string{}}
	for name, s := range o.sessions.named {
		if s.leaveAt != never {
			continue
		}
		r.Sessions[name] = s.status(o.start)
		if s.problem != "" {
			r.Problems[name] = s.problem
		}
	}
	maps.Copy(r.Problems, o.invalid)
	return r
}
