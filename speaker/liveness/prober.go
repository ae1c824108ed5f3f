package liveness

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// inboxSize is how many replies may wait for the prober before they wait in their sockets.
const inboxSize = 256

// arrived is what a reader hands to the prober: a reply that proves itself, a refusal, or the end of the socket.
type arrived struct {
	from     *link
	name     string
	sequence uint64
	err      error
	knocked  *target // err is what became of a connection to it
}

// prober is the one goroutine that owns the targets.
type prober struct {
	d       *Detector
	targets map[string]*target
	inbox   chan arrived
	readers sync.WaitGroup
	buffer  [maxPacket + 1]byte
	last    time.Time // tick; zero while there are none
}

func newProber(d *Detector) *prober {
	return &prober{d: d, targets: map[string]*target{}, inbox: make(chan arrived, inboxSize)}
}

func (p *prober) run(ctx context.Context) {
	// Intervals begin when a tick is through: so every request has a whole one to be answered, however late ticks are. Without
	// targets there are no ticks.
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer p.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.d.wake:
			p.retarget(ctx)
			if p.last.IsZero() && len(p.targets) > 0 {
				timer.Reset(0)
			}
		case a := <-p.inbox:
			p.receive(ctx, a)
		case <-timer.C:
			p.tick(ctx)
			if len(p.targets) > 0 {
				timer.Reset(p.d.interval)
			} else {
				p.last = time.Time{}
			}
		}
		p.publish(time.Now())
	}
}

func (p *prober) close() {
	for _, t := range p.targets {
		p.hangUp(t)
	}
	p.readers.Wait()
	p.d.verdicts.Store(&map[string]Verdict{})
}

func (p *prober) hangUp(t *target) {
	if t.link != nil {
		_ = t.link.conn.Close()
		t.link, t.waiting = nil, false
	}
}

// retarget brings the targets to what is wanted. New ones are probed from the next tick on.
func (p *prober) retarget(ctx context.Context) {
	want := *p.d.targets.Load()
	for name, t := range p.targets {
		if want[name] != t.addr {
			p.hangUp(t)
			delete(p.targets, name)
		}
	}
	for name, addr := range want {
		if p.targets[name] == nil {
			t := &target{name: name, addr: addr, since: time.Now()}
			p.targets[name] = t
			p.open(ctx, t)
		}
	}
}

// open dials if there is no socket.
func (p *prober) open(ctx context.Context, t *target) {
	if t.link != nil || ctx.Err() != nil {
		return
	}
	l, err := dial(ctx, p.d.opts.Bind.Addr(), t.addr)
	if err != nil {
		p.d.metrics.failures.Inc()
		if !t.told {
			p.d.opts.Log.Info("Cannot probe a node, trying again", "node", t.name, "address", t.addr, "reason", err.Error())
		}
		t.told = true
		return
	}
	t.link, t.told, t.sent = l, false, [window]time.Time{}
	p.readers.Go(func() { p.read(ctx, t.name, l) })
}

// read hands over what comes from a target at once. It ends with the socket.
func (p *prober) read(ctx context.Context, name string, l *link) {
	b := make([]byte, maxPacket+1)
	for {
		n, err := l.conn.Read(b)
		a := arrived{from: l, name: name, err: err}
		if err == nil {
			var ok bool
			if a.sequence, ok = p.d.proves(b[:n], name, l.nonce); !ok {
				continue
			}
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case p.inbox <- a:
		case <-ctx.Done():
			return
		}
		if err != nil && !passing(err) {
			return
		}
	}
}

// proves tells whether a packet is a reply of the node to a request with the nonce.
func (d *Detector) proves(b []byte, name string, nonce [nonceLen]byte) (sequence uint64, ok bool) {
	r, signed, mac, ok := decode(b)
	switch {
	case !ok || r.kind != kindReply:
		d.metrics.drop(droppedMalformed)
	case r.from != name || r.to != d.opts.Name:
		d.metrics.drop(droppedForeign)
	case r.nonce != nonce:
		d.metrics.drop(droppedUnexpected)
	case d.keys.Load().find(signed, mac) == nil:
		d.metrics.drop(droppedAuthentication)
	default:
		return r.sequence, true
	}
	return 0, false
}

func (p *prober) receive(ctx context.Context, a arrived) {
	t := p.targets[a.name]
	switch {
	case a.knocked != nil:
		a.knocked.knocking = false
		if t == a.knocked && refusal(a.err) {
			t.judge.refuse()
		}
	case t == nil || t.link != a.from:
	case a.err == nil:
		p.answered(t, a.sequence)
	case refusal(a.err):
		t.judge.refuse()
	case !passing(a.err):
		p.broken(t, a.err)
		p.open(ctx, t)
	}
}

func (p *prober) answered(t *target, sequence uint64) {
	roundTrip, ok := t.answered(sequence, time.Now())
	if !ok {
		p.d.metrics.drop(droppedUnexpected)
		return
	}
	p.d.metrics.replies.Inc()
	p.d.metrics.roundTrip.Observe(roundTrip.Seconds())
}

// broken gives up a socket: this node's address or interface may be another by now.
func (p *prober) broken(t *target, err error) {
	p.d.metrics.failures.Inc()
	p.d.opts.Log.V(1).Info("A liveness socket failed", "node", t.name, "reason", err.Error())
	p.hangUp(t)
}

// tick counts whose last request has no reply, and sends the next ones.
func (p *prober) tick(ctx context.Context) {
	now := time.Now()
	if late := now.Sub(p.last) - p.d.interval; !p.last.IsZero() && late > p.d.interval {
		p.d.metrics.overslept.Inc()
	}
	p.last = now
	p.drain(ctx)
	for _, t := range p.targets {
		p.empty(ctx, t)
		switch {
		case t.waiting:
			t.judge.miss(p.d.interval)
			p.knock(ctx, t)
		case t.unsent:
			t.judge.blinded()
		}
		p.open(ctx, t)
		p.probe(t)
	}
}

// knock tries a connection to a target whose replies stay away. Its kernel refuses at once if it lives and nobody listens;
// what else comes of it says nothing.
func (p *prober) knock(ctx context.Context, t *target) {
	if p.d.opts.Knock == 0 || t.knocking || t.judge.state == Unknown {
		return
	}
	t.knocking = true
	p.readers.Go(func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.d.opts.Bind.Addr(), 0)), Timeout: misses * p.d.interval}
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(t.addr.Addr(), p.d.opts.Knock).String())
		if err == nil {
			_ = conn.Close()
		}
		select {
		case p.inbox <- arrived{name: t.name, err: err, knocked: t}:
		case <-ctx.Done():
		}
	})
}

// drain takes what the readers have read.
func (p *prober) drain(ctx context.Context) {
	for range inboxSize {
		select {
		case a := <-p.inbox:
			p.receive(ctx, a)
		default:
			return
		}
	}
}

// empty takes what the reader has not got round to, before somebody is blamed for it. A flood of garbage ends it: then
// the reader is awake.
func (p *prober) empty(ctx context.Context, t *target) {
	for range window {
		if t.link == nil {
			return
		}
		n, err := t.link.take(p.buffer[:])
		if err == nil {
			if sequence, ok := p.d.proves(p.buffer[:n], t.name, t.link.nonce); ok {
				p.answered(t, sequence)
			}
			continue
		}
		if !refusal(err) {
			return // mostly: nothing is there
		}
		p.receive(ctx, arrived{from: t.link, name: t.name, err: err})
	}
}

// probe sends the next request. One that cannot leave proves nothing, so it is not waited for.
func (p *prober) probe(t *target) {
	t.waiting, t.unsent = false, true
	if t.link == nil {
		return
	}
	t.sequence++
	t.sent[t.sequence%window] = time.Time{}
	request := packet{kind: kindRequest, nonce: t.link.nonce, sequence: t.sequence, from: p.d.opts.Name, to: t.name}
	b := request.encode(p.buffer[:0], (*p.d.keys.Load())[0])
	_, err := t.link.conn.Write(b)
	if refusal(err) || err != nil && passing(err) {
		// The error of an earlier packet, which is taken now: this one has not left.
		if refusal(err) {
			t.judge.refuse()
		}
		_, err = t.link.conn.Write(b)
	}
	switch {
	case err == nil:
		p.d.metrics.sent.Inc()
		t.left(time.Now())
	case !passing(err):
		p.broken(t, err)
	}
}

// publish shows what has changed.
func (p *prober) publish(now time.Time) {
	was := *p.d.verdicts.Load()
	is := make(map[string]Verdict, len(p.targets))
	for name, t := range p.targets {
		old, known := was[name]
		if !known || old.State != t.judge.state {
			p.report(t, old.State, known)
			t.since = now
		}
		is[name] = Verdict{State: t.judge.state, Since: t.since}
	}
	if maps.Equal(was, is) {
		return
	}
	for s := Unknown; s <= Silent; s++ {
		p.d.metrics.targets.WithLabelValues(s.String()).Set(0)
	}
	for _, v := range is {
		p.d.metrics.targets.WithLabelValues(v.State.String()).Inc()
	}
	p.d.verdicts.Store(&is)
	p.d.changed.raise()
}

func (p *prober) report(t *target, was State, known bool) {
	if !known && t.judge.state == Unknown {
		return
	}
	p.d.metrics.transitions.WithLabelValues(t.judge.state.String()).Inc()
	p.d.opts.Log.Info("Liveness of a node changed", "node", t.name, "from", was.String(), "to", t.judge.state.String())
}
