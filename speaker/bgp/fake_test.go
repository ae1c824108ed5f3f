package bgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// fakeRouter is a router of the test's own making: what it does with a connection is up to the test.
type fakeRouter struct {
	t        *testing.T
	listener net.Listener
	mu       sync.Mutex
	visits   int
}

// newFakeRouter serves each connection with talk, one after another.
func newFakeRouter(t *testing.T, talk func(*fakeConn)) *fakeRouter {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRouter{t: t, listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.visits++
			f.mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
				talk(&fakeConn{newStream(conn, time.Second), conn})
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return f
}

func (f *fakeRouter) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.visits
}

func (f *fakeRouter) port() uint16 { return f.listener.Addr().(*net.TCPAddr).AddrPort().Port() }

// session leads to the fake router, with next hops that are not on the loopback.
func (f *fakeRouter) session() Session {
	return Session{
		LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("192.0.2.1"), Address: netip.MustParseAddr("127.0.0.1"),
		Port: f.port(), HoldTime: 3 * time.Second, KeepaliveTime: time.Second, ConnectTime: time.Second,
		NextHop4: netip.MustParseAddr("192.0.2.1"), NextHop6: netip.MustParseAddr("2001:db8::1"),
	}
}

type fakeConn struct {
	*stream
	conn net.Conn
}

func fakeOpen() wire.Open {
	return wire.Open{
		ASN: 64513, HoldTime: 90, RouterID: netip.MustParseAddr("198.51.100.1"), Families: wire.IPv4 | wire.IPv6,
		RouteRefresh: true, FourOctetASN: true,
	}
}

// greet does what a good router does until the session is established.
func (c *fakeConn) greet(o wire.Open) error {
	if t, _, err := c.read(); err != nil || t != wire.TypeOpen {
		return fmt.Errorf("got %s, %w", t, err)
	}
	if err := c.write(o.Append(nil)); err != nil {
		return err
	}
	return c.write(wire.Keepalive())
}

// listen reads until the connection ends, and answers KEEPALIVEs with KEEPALIVEs.
func (c *fakeConn) listen(hear func(t wire.Type, raw []byte)) {
	for {
		t, raw, err := c.readWhole()
		if err != nil {
			return
		}
		hear(t, raw)
		if t == wire.TypeKeepalive && c.write(wire.Keepalive()) != nil {
			return
		}
	}
}

func startRouter(t *testing.T) *Router {
	t.Helper()
	r, err := New(Options{Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// until applies d, again at each change, until the peer called r is as wanted.
func until(t *testing.T, r *Router, d Desired, what string, ok func(Status) bool) Status {
	t.Helper()
	limit := time.After(60 * time.Second)
	for {
		running, err := r.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		s := running.Peers["r"]
		if ok(s) {
			return s
		}
		select {
		case <-r.Changed():
		case <-limit:
			t.Fatalf("never saw that %s: %+v", what, s)
		}
	}
}

func established(s Status) bool { return s.State == Established }

func failed(reason Reason) func(Status) bool {
	return func(s Status) bool { return s.State != Established && s.Reason == reason }
}
