package bfd

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
)

// wireless is a network without sockets: engines on it reach each other by address, in the virtual time of synctest.
type wireless struct {
	mu    sync.Mutex
	hosts map[netip.Addr]*fakeNetwork
	cut   bool
}

// fakeNetwork is the Network of one engine.
type fakeNetwork struct {
	wire  *wireless
	local netip.Addr

	mu        sync.Mutex
	receivers map[Scope]*fakeReceiver
	listenErr error
	dialErr   error
	writeErr  error
	dials     int
	open      int // sockets of all kinds
	echo      *fakeEcho
}

type fakePacket struct {
	b    []byte
	meta Meta
	err  error
}

type fakeReceiver struct {
	network *fakeNetwork
	scope   Scope
	packets chan fakePacket
	closed  chan struct{}
}

func newWireless() *wireless { return &wireless{hosts: map[netip.Addr]*fakeNetwork{}} }

func (w *wireless) host(addr string) *fakeNetwork {
	n := &fakeNetwork{wire: w, local: netip.MustParseAddr(addr), receivers: map[Scope]*fakeReceiver{}}
	w.hosts[n.local] = n
	return n
}

func (w *wireless) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

func (n *fakeNetwork) set(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

func (n *fakeNetwork) Listen(s Scope) (Receiver, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listenErr != nil {
		return nil, n.listenErr
	}
	if n.receivers[s] != nil {
		return nil, errors.New("listening twice")
	}
	r := &fakeReceiver{n, s, make(chan fakePacket, 100), make(chan struct{})}
	n.receivers[s] = r
	n.open++
	return r, nil
}

func (n *fakeNetwork) Dial(p Path) (Sender, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	if n.dialErr != nil {
		return nil, n.dialErr
	}
	n.open++
	return &fakeSender{n, p}, nil
}

func (n *fakeNetwork) Echo(int, bool) (EchoConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.echo == nil {
		return nil, errors.New("no echo here")
	}
	n.open++
	return n.echo, nil
}

// inject puts a packet into the receiving socket of a scope.
func (n *fakeNetwork) inject(s Scope, p fakePacket) {
	n.mu.Lock()
	r := n.receivers[s]
	n.mu.Unlock()
	if r != nil {
		select {
		case r.packets <- p:
		case <-r.closed:
		}
	}
}

func (r *fakeReceiver) Read(b []byte) (int, Meta, error) {
	select {
	case p := <-r.packets:
		return copy(b, p.b), p.meta, p.err
	case <-r.closed:
		return 0, Meta{}, io.ErrClosedPipe
	}
}

func (r *fakeReceiver) Close() error {
	r.network.set(func() {
		delete(r.network.receivers, r.scope)
		r.network.open--
	})
	close(r.closed)
	return nil
}

type fakeSender struct {
	network *fakeNetwork
	path    Path
}

func (s *fakeSender) Write(b []byte) error {
	n := s.network
	n.mu.Lock()
	err, local := n.writeErr, n.local
	n.mu.Unlock()
	if err != nil {
		return err
	}
	n.wire.mu.Lock()
	to, cut := n.wire.hosts[s.path.Peer], n.wire.cut
	n.wire.mu.Unlock()
	if to != nil && !cut {
		meta := Meta{Peer: local, Local: s.path.Peer, IfIndex: 1, TTL: 255}
		to.inject(s.path.scope(), fakePacket{b: append([]byte(nil), b...), meta: meta})
	}
	return nil
}

func (s *fakeSender) IfIndex() int { return 0 }

func (s *fakeSender) Close() error {
	s.network.set(func() { s.network.open-- })
	return nil
}

// fakeEcho loops what it is given while it may.
type fakeEcho struct {
	network *fakeNetwork
	packets chan fakePacket
	closed  chan struct{}
	mu      sync.Mutex
	loop    bool
	last    []byte
}

func (e *fakeEcho) Read(b []byte) (int, Meta, error) {
	select {
	case p := <-e.packets:
		return copy(b, p.b), p.meta, p.err
	case <-e.closed:
		return 0, Meta{}, io.ErrClosedPipe
	}
}

func (e *fakeEcho) Write(b []byte, local, _ netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = append([]byte(nil), b...)
	if e.loop {
		e.packets <- fakePacket{b: append([]byte(nil), b...), meta: Meta{Peer: local, Local: local, IfIndex: 1, TTL: 254}}
	}
	return nil
}

func (e *fakeEcho) sent() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

func (e *fakeEcho) setLoop(loop bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loop = loop
}

func (e *fakeEcho) Close() error {
	e.network.set(func() { e.network.open-- })
	close(e.closed)
	return nil
}

// start runs an engine until the test, or a call of the returned function, ends it.
func start(t *testing.T, n Network) (*Engine, func()) {
	t.Helper()
	e, err := New(Options{Log: testr.New(t), Network: n})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop := func() { cancel(); <-ended }
	t.Cleanup(stop)
	return e, stop
}

func apply(t *testing.T, e *Engine, sessions map[Path]Settings) Running {
	t.Helper()
	r, err := e.Apply(t.Context(), Desired{Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await returns the status of a path once it satisfies a condition.
func await(t *testing.T, e *Engine, p Path, within time.Duration, what string, cond func(Status) bool) Status {
	t.Helper()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		s := e.Running().Sessions[p]
		if cond(s) {
			return s
		}
		select {
		case <-e.Changed():
		case <-timeout.C:
			t.Fatalf("%s: not within %s: %+v, problems %v", what, within, s, e.Running().Problems)
		}
	}
}

func up(s Status) bool   { return s.State == Up }
func down(s Status) bool { return s.State == Down }
