package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

func peerOf(s Session, routes ...string) Desired {
	p := Peer{Session: s, Routes: map[netip.Prefix]Route{}}
	for _, r := range routes {
		p.Routes[netip.MustParsePrefix(r)] = Route{}
	}
	return Desired{Peers: map[string]Peer{"r": p}}
}

func TestSessionAndLastWord(t *testing.T) {
	heard := make(chan string, 1000)
	told := make(chan struct{}, 1)
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(t wire.Type, raw []byte) {
				if t == wire.TypeNotification {
					n := wire.ParseNotification(raw[wire.HeaderLen:])
					heard <- n.Error()
				} else {
					heard <- t.String()
				}
				if t == wire.TypeUpdate && len(heard) >= 2 {
					select {
					case told <- struct{}{}:
					default:
					}
				}
			})
		}
	})
	r := startRouter(t)
	d := peerOf(f.session(), "203.0.113.7/32", "2001:db8::7/128")
	s := until(t, r, d, "the session is up", established)
	if s.Announced != 2 || s.PeerASN != 64513 || s.HoldTime != 3*time.Second || s.Remote.Port() != f.port() || s.Graceful != 0 {
		t.Errorf("status %+v", s)
	}
	<-told
	p := d.Peers["r"]
	p.Mode, p.Reason = Down, "maintenance"
	d.Peers["r"] = p
	until(t, r, d, "the session is down", func(s Status) bool { return s.State == Idle && s.Message == "maintenance" })
	var last string
	for updates := 0; !strings.HasPrefix(last, "cease"); {
		select {
		case last = <-heard:
		case <-time.After(10 * time.Second):
			t.Fatalf("no last word after %d UPDATEs and %q", updates, last)
		}
		if last == "UPDATE" {
			updates++
		}
		if strings.HasPrefix(last, "cease") && updates < 3 {
			t.Errorf("only %d UPDATEs before the end: the routes were not withdrawn", updates)
		}
	}
	if last != `cease, administrative shutdown: "maintenance" (6/2)` {
		t.Errorf("last word %s", last)
	}
}

func TestReasons(t *testing.T) {
	tests := []struct {
		name    string
		talk    func(*fakeConn)
		change  func(*Session)
		reason  Reason
		message string
	}{
		{name: "wrong ASN", reason: ReasonBadPeerAS, message: "the router is in AS 64513, not in AS 64514",
			change: func(s *Session) { s.PeerASN = 64514 }, talk: func(c *fakeConn) { c.greet(fakeOpen()); c.listen(func(wire.Type, []byte) {}) }},
		{name: "hold time 0", reason: ReasonOpenRefused, message: "unacceptable hold time", talk: func(c *fakeConn) {
			o := fakeOpen()
			o.HoldTime = 0
			c.greet(o)
			c.listen(func(wire.Type, []byte) {})
		}},
		{name: "NOTIFICATION in place of OPEN", reason: ReasonNotification, message: "connection rejected", talk: func(c *fakeConn) {
			c.read()
			c.write(wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseRejected}.Append(nil))
			c.listen(func(wire.Type, []byte) {})
		}},
		{name: "shutdown", reason: ReasonShutdown, message: `"gone fishing"`, talk: func(c *fakeConn) {
			c.greet(fakeOpen())
			c.write(wire.Shutdown("gone fishing").Append(nil))
			c.listen(func(wire.Type, []byte) {})
		}},
		{name: "closes at once", reason: ReasonReset, message: "closed the connection", talk: func(c *fakeConn) { c.read() }},
		{name: "no BGP", reason: ReasonProtocol, message: "not synchronized", talk: func(c *fakeConn) {
			c.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.listen(func(wire.Type, []byte) {})
		}},
		{name: "second OPEN", reason: ReasonProtocol, message: "unexpected message in Established", talk: func(c *fakeConn) {
			c.greet(fakeOpen())
			c.write(fakeOpen().Append(nil))
			c.listen(func(wire.Type, []byte) {})
		}},
		{name: "silence after OPEN", reason: ReasonHoldTimer, message: "hold timer expired", talk: func(c *fakeConn) {
			c.greet(fakeOpen())
			for {
				if _, _, err := c.readWhole(); err != nil {
					return
				}
			}
		}},
		{name: "nobody there", reason: ReasonRefused, message: "connection refused", change: func(s *Session) { s.Address = netip.MustParseAddr("127.0.0.9") }},
		{name: "no such source", reason: ReasonSource, change: func(s *Session) { s.SourceAddress = netip.MustParseAddr("192.0.2.99") }},
		{name: "short hold time", reason: ReasonInvalid, message: "under 3s", change: func(s *Session) { s.HoldTime = time.Second }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.talk == nil {
				tt.talk = func(*fakeConn) {}
			}
			f := newFakeRouter(t, tt.talk)
			s := f.session()
			if tt.change != nil {
				tt.change(&s)
			}
			got := until(t, startRouter(t), peerOf(s, "203.0.113.7/32"), "it fails for this reason", failed(tt.reason))
			if !strings.Contains(got.Message, tt.message) {
				t.Errorf("message %q", got.Message)
			}
		})
	}
}

// TestNoOpen takes as long as a router may take for its OPEN.
func TestNoOpen(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) { c.listen(func(wire.Type, []byte) {}) })
	until(t, startRouter(t), peerOf(f.session()), "the silence is noticed", failed(ReasonNoOpen))
}

// TestStalledRouter: it sends KEEPALIVEs and reads nothing.
func TestStalledRouter(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		c.conn.(*net.TCPConn).SetReadBuffer(4096)
		if c.greet(fakeOpen()) != nil {
			return
		}
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if c.write(wire.Keepalive()) != nil {
				return
			}
		}
	})
	d := peerOf(f.session())
	for i := range 20000 {
		d.Peers["r"].Routes[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)] = Route{}
	}
	until(t, startRouter(t), d, "it is noticed", failed(ReasonStalled))
}

// TestShutdownIsNoLoop: a router that accepts and at once shuts down is left in peace more and more.
func TestShutdownIsNoLoop(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.write(wire.Shutdown("closed").Append(nil))
			c.listen(func(wire.Type, []byte) {})
		}
	})
	s := f.session()
	s.ConnectTime = time.Hour
	began := time.Now()
	r := startRouter(t)
	until(t, r, peerOf(s), "it has been tried", func(Status) bool { return f.count() >= 3 })
	// The pauses are at least three quarters of 0.5 s and 1 s, however slow the machine.
	if took := time.Since(began); took < 1100*time.Millisecond {
		t.Errorf("three attempts within %s", took)
	}
}

func TestApplyIsQuietWhenNothingChanges(t *testing.T) {
	updates := make(chan struct{}, 1000)
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(t wire.Type, _ []byte) {
				if t == wire.TypeUpdate {
					updates <- struct{}{}
				}
			})
		}
	})
	r := startRouter(t)
	d := peerOf(f.session(), "203.0.113.7/32")
	until(t, r, d, "the session is up", established)
	<-updates
	for range 5 {
		if _, err := r.Apply(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	d = peerOf(f.session(), "203.0.113.7/32", "203.0.113.8/32")
	if _, err := r.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	<-updates
	if n := len(updates); n != 0 {
		t.Errorf("%d UPDATEs too many", n)
	}
}

// TestBusyPeerHoldsNobodyUp: a peer whose goroutine has something else to do does not keep the others from their wishes.
func TestBusyPeerHoldsNobodyUp(t *testing.T) {
	env := &environment{log: logr.Discard(), doors: newDoors()}
	close(env.doors.done) // nobody is to dial
	a, b, c := newPeer("a", env, nil), newPeer("b", env, nil), newPeer("c", env, nil)
	o := &owner{env: env, peers: map[string]*peer{"a": a, "b": b, "c": c}} // b is to leave
	applied := make(chan error, 1)
	go func() { applied <- o.apply(t.Context(), Desired{Peers: map[string]Peer{"a": {}, "c": {}}}) }()
	hear := func(p *peer) {
		select {
		case w := <-p.wants:
			close(w.heard)
		case <-t.Context().Done():
		}
	}
	hear(c)
	hear(b)
	select {
	case err := <-applied:
		t.Errorf("applied before all have heard: %v", err)
	default:
	}
	close(a.done) // it ends instead
	if err := <-applied; err != nil {
		t.Error(err)
	}
}

func TestWithheldRoutesSayWhy(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		o := fakeOpen()
		o.Families = wire.IPv4
		if c.greet(o) == nil {
			c.listen(func(wire.Type, []byte) {})
		}
	})
	d := peerOf(f.session(), "203.0.113.7/32", "2001:db8::7/128", "224.0.0.0/4")
	d.Peers["r"].Routes[netip.MustParsePrefix("203.0.113.8/32")] = Route{NextHop: netip.MustParseAddr("127.0.0.1")}
	d.Peers["r"].Routes[netip.MustParsePrefix("203.0.113.9/32")] = Route{Communities: make([]Community, 101)}
	s := until(t, startRouter(t), d, "the session is up", established)
	want := map[string]Reason{
		"2001:db8::7/128": ReasonFamily, "224.0.0.0/4": ReasonPrefix, "203.0.113.8/32": ReasonNextHop, "203.0.113.9/32": ReasonAttributes,
	}
	got := map[string]Reason{}
	for p, r := range s.Withheld {
		got[p.String()] = r
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Announced != 1 {
		t.Errorf("withheld %v, announced %d; want %v", got, s.Announced, want)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := New(Options{Log: logr.Discard(), Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Log: logr.Discard(), Registerer: registry}); err == nil {
		t.Error("metrics were registered twice")
	}
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.show("a", Status{State: Established, Announced: 7})
	m.counter("a")("sent", wire.TypeUpdate)
	var got dto.Metric
	if err := m.announced.WithLabelValues("a").Write(&got); err != nil || got.GetGauge().GetValue() != 7 {
		t.Errorf("announced %v, %v", &got, err)
	}
	m.forget("a")
	for _, v := range m.all() {
		left := make(chan prometheus.Metric, 10)
		v.Collect(left)
		if len(left) != 0 {
			t.Errorf("%d series left", len(left))
		}
	}
}

func TestApplyAfterTheEnd(t *testing.T) {
	r, err := New(Options{Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Apply(ctx, Desired{}); !errors.Is(err, context.Canceled) {
		t.Errorf("before the end: %v", err)
	}
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(t.Context(), Desired{}); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// TestLastWordAtOnce: the session is taken down in the moment in which it comes up, when GoBGP would just close it.
func TestLastWordAtOnce(t *testing.T) {
	words := make(chan string, 1)
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(t wire.Type, raw []byte) {
				if t == wire.TypeNotification {
					n := wire.ParseNotification(raw[wire.HeaderLen:])
					words <- n.Error()
				}
			})
		}
	})
	r := startRouter(t)
	for range 10 {
		d := peerOf(f.session())
		until(t, r, d, "the session is up", established)
		p := d.Peers["r"]
		p.Mode, p.Reason = Down, "maintenance"
		d.Peers["r"] = p
		until(t, r, d, "the session is down", func(s Status) bool { return s.State == Idle })
		select {
		case got := <-words:
			if got != `cease, administrative shutdown: "maintenance" (6/2)` {
				t.Errorf("last word %s", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no last word")
		}
	}
}

// TestPathFailure: a failure that is new ends the session at once, with the word for it, and another session follows. The
// same failure, told again, does nothing.
func TestPathFailure(t *testing.T) {
	words := make(chan string, 10)
	updates := make(chan struct{}, 1000)
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(t wire.Type, raw []byte) {
				switch t {
				case wire.TypeUpdate:
					updates <- struct{}{}
				case wire.TypeNotification:
					n := wire.ParseNotification(raw[wire.HeaderLen:])
					words <- n.Error()
				}
			})
		}
	})
	r := startRouter(t)
	d := peerOf(f.session(), "203.0.113.7/32")
	until(t, r, d, "the session is up", established)
	<-updates
	p := d.Peers["r"]
	p.Failures, p.Failure = 1, "BFD: detection time expired after 300ms"
	d.Peers["r"] = p
	s := until(t, r, d, "the session has ended", failed(ReasonPathFailed))
	if s.Message != p.Failure {
		t.Errorf("message %q", s.Message)
	}
	select {
	case got := <-words:
		if got != "cease, BFD down (6/10)" {
			t.Errorf("last word %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no last word")
	}
	s = until(t, r, d, "another session is up", established)
	<-updates
	for range 3 {
		if again := until(t, r, d, "it stays", established); again.Since != s.Since {
			t.Error("an old failure ends a new session")
		}
	}
	if len(words) != 0 || len(updates) != 0 || s.Flaps != 1 {
		t.Errorf("%d words and %d UPDATEs too many, %d flaps", len(words), len(updates), s.Flaps)
	}
}

// TestPathFailureWhileDown: what keeps a session down keeps it down after a failure, too.
func TestPathFailureWhileDown(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(wire.Type, []byte) {})
		}
	})
	r := startRouter(t)
	d := peerOf(f.session())
	until(t, r, d, "the session is up", established)
	p := d.Peers["r"]
	p.Failures, p.Failure, p.Mode, p.Reason = 1, "BFD: no echo", Down, "BFD is not up"
	d.Peers["r"] = p
	until(t, r, d, "it is down for good", func(s Status) bool { return s.State == Idle && s.Message == "BFD is not up" })
	if n := f.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestManyPeers: peers may come while others have sessions and routes, and more than twenty of them.
func TestManyPeers(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(wire.Type, []byte) {})
		}
	})
	r := startRouter(t)
	d := peerOf(f.session(), "203.0.113.7/32")
	until(t, r, d, "the session is up", established)
	for i := range 24 {
		d.Peers[fmt.Sprintf("more-%d", i)] = d.Peers["r"]
		until(t, r, d, "it stays up", established)
	}
	limit := time.After(60 * time.Second)
	for {
		running, err := r.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		up := 0
		for _, s := range running.Peers {
			if established(s) {
				up++
			}
		}
		if up == len(d.Peers) {
			return
		}
		select {
		case <-r.Changed():
		case <-limit:
			t.Fatalf("%d of %d sessions", up, len(d.Peers))
		}
	}
}
