package bgp

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// bench is one GoBGP server with links to it, one after another, without the pauses that a peer makes.
type bench struct {
	d       *daemon
	session Session
	routes  map[netip.Prefix]said
	// heard and sent count the messages that links have taken from their routers, and sent them.
	heard, sent atomic.Int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	d, err := newDaemon(t.Context(), 200+rand.IntN(200), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	s := Session{
		LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("192.0.2.1"), Address: netip.MustParseAddr("127.0.0.1"), GracefulRestart: true,
	}.settings()
	hop := netip.MustParseAddr("192.0.2.1")
	return &bench{d: d, session: s, routes: map[netip.Prefix]said{netip.MustParsePrefix("203.0.113.7/32"): {&Route{}, hop}}}
}

// run is one session with a router that does as talk says. It returns why the session ended.
func (b *bench) run(t testing.TB, talk func(*fakeConn)) error {
	t.Helper()
	return b.hangUp(t, nil, talk)
}

// hangUp is run with a way to end the session.
func (b *bench) hangUp(t testing.TB, end <-chan farewell, talk func(*fakeConn)) error {
	t.Helper()
	ours, theirs := pair(t)
	if end != nil {
		_ = ours.(*net.TCPConn).SetWriteBuffer(4096)
	}
	if err := b.d.open(t.Context(), b.session); err != nil {
		t.Fatal(err)
	}
	l := link{
		session: b.session,
		inner: func(ctx context.Context) (net.Conn, error) {
			return dialDaemon(ctx, b.d.listen, b.d.neighbour, b.d.key)
		},
		outer:       func(context.Context) (net.Conn, error) { return ours, nil },
		opened:      func(opened) error { return b.d.sync(context.Background(), b.routes, b.session) },
		established: func() {},
		took:        b.d.took,
		word:        func() *wire.Notification { return nil },
		hangUp:      end,
		count: func(direction string, _ wire.Type) {
			if direction == "received" {
				b.heard.Add(1)
			} else {
				b.sent.Add(1)
			}
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		talk(&fakeConn{newStream(theirs, time.Second), theirs})
	}()
	err := l.run(t.Context())
	<-done
	if err := b.d.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return err
}

// quiet waits until the link has sent nothing for a while, which it does when the router does not read.
func (b *bench) quiet() {
	for same, last := 0, int64(-1); same < 20; <-time.After(20 * time.Millisecond) {
		if now := b.sent.Load(); now == last && now > 2 {
			same++
		} else {
			same, last = 0, now
		}
	}
}

// works runs a session with a good router, which must hear of the route.
func (b *bench) works(t testing.TB) {
	t.Helper()
	heard := false
	err := b.run(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) != nil {
			return
		}
		for !heard {
			typ, _, err := c.readWhole()
			if err != nil {
				return
			}
			heard = typ == wire.TypeUpdate
		}
	})
	if !heard {
		t.Fatalf("a good router hears nothing any more: %v", err)
	}
}

// pair returns the two ends of a TCP connection.
func pair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := new(net.Dialer).DialContext(t.Context(), "tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// seeds are messages that routers send, and some that GoBGP does not survive: AS4_PATH before AS_PATH among them.
func seeds() [][]byte {
	update := func(attributes ...byte) []byte {
		body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attributes)))
		body = append(body, attributes...)
		return wire.Append(nil, wire.TypeUpdate, append(body, 24, 10, 0, 0))
	}
	return [][]byte{
		update(0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 1, 0x40, 3, 4, 192, 0, 2, 1),
		update(0xc0, 17, 6, 2, 1, 0, 0, 0xfc, 1, 0x40, 2, 4, 2, 1, 0xfc, 1, 0x40, 1, 1, 0),
		update(0x80, 14, 9, 0, 1, 73, 4, 192, 0, 2, 1, 0, 0xc0, 16, 8, 6, 1, 2, 3, 4, 5, 6, 7, 0xc0, 40, 3, 1, 0, 1),
		update(0xc0, 8, 4, 0xff, 0xff, 0, 0, 0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3),
		wire.Append(nil, wire.TypeUpdate, []byte{0, 0, 0, 0}),
		wire.Append(nil, wire.TypeRouteRefresh, []byte{0, 1, 0, 1}),
		wire.Append(nil, wire.TypeRouteRefresh, []byte{0, 2, 1, 1}),
		wire.Keepalive(),
	}
}

// mutate changes a few bytes behind the header and appends others; rarely, what it does ends the session at once.
func mutate(r *rand.Rand, m []byte) []byte {
	m = append([]byte(nil), m...)
	fatal := r.IntN(500) == 0
	if len(m) > wire.HeaderLen {
		for range r.IntN(6) {
			m[wire.HeaderLen+r.IntN(len(m)-wire.HeaderLen)] = byte(r.Uint32())
		}
	}
	if len(m) > wire.HeaderLen && r.IntN(4) == 0 || fatal {
		extra := make([]byte, r.IntN(300))
		for i := range extra {
			extra[i] = byte(r.Uint32())
		}
		m = wire.Append(nil, wire.Type(m[18]), append(m[wire.HeaderLen:], extra...))
	}
	if fatal {
		m[r.IntN(len(m))] = byte(r.Uint32())
	}
	return m
}

var messages = flag.Int64("messages", 100_000, "how many mutated messages TestFuzzingRouter sends")

// TestFuzzingRouter sends mutated messages. GoBGP, in this very process, would take the test down with it.
func TestFuzzingRouter(t *testing.T) {
	b := newBench(t)
	b.works(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	goroutines := runtime.NumGoroutine()
	sessions := 0
	for ; b.heard.Load() < *messages; sessions++ {
		b.run(t, func(c *fakeConn) {
			o := fakeOpen().Append(nil)
			if r.IntN(5) == 0 {
				o[wire.HeaderLen+r.IntN(len(o)-wire.HeaderLen)] = byte(r.Uint32())
			}
			if _, _, err := c.read(); err != nil {
				return
			}
			go func() {
				for _, _, err := c.readWhole(); err == nil; _, _, err = c.readWhole() {
				}
			}()
			if c.write(o) != nil || c.write(wire.Keepalive()) != nil {
				return
			}
			for range 1000 {
				if c.write(mutate(r, seeds()[r.IntN(len(seeds()))])) != nil {
					return
				}
			}
		})
	}
	t.Logf("%d messages in %d sessions", b.heard.Load(), sessions)
	b.works(t)
	settled(t, goroutines)
}

// settled waits until there are no more goroutines than before, give or take what the runtime starts.
func settled(t testing.TB, before int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before+5 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestEndingsDoNotGrow ends sessions in each way, again and again.
func TestEndingsDoNotGrow(t *testing.T) {
	nothing := func(wire.Type, []byte) {}
	tests := map[string]func(*fakeConn){
		"at once": func(*fakeConn) {},
		"wrong ASN": func(c *fakeConn) {
			c.read()
			c.write(wire.Open{ASN: 7, HoldTime: 9, RouterID: fakeOpen().RouterID}.Append(nil))
			c.listen(nothing)
		},
		"after OPEN": func(c *fakeConn) { c.read(); c.write(fakeOpen().Append(nil)); c.read() },
		"shutdown":   func(c *fakeConn) { c.greet(fakeOpen()); c.write(wire.Shutdown("").Append(nil)); c.listen(nothing) },
		"junk":       func(c *fakeConn) { c.greet(fakeOpen()); c.write(make([]byte, 100)); c.listen(nothing) },
		"later":      func(c *fakeConn) { c.greet(fakeOpen()); c.readWhole(); c.readWhole() },
	}
	for name, talk := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			end := func(n int) {
				for range n {
					b.run(t, talk)
				}
			}
			b.works(t)
			end(50)
			goroutines, before := runtime.NumGoroutine(), heap()
			end(300)
			settled(t, goroutines)
			if after := heap(); after > before+4<<20 {
				t.Errorf("the heap grew from %d to %d kB over 300 sessions", before>>10, after>>10)
			}
			b.works(t)
		})
	}
}

// TestFlapsDoNotGrow: many sessions of one peer with a thousand routes, one after another.
func TestFlapsDoNotGrow(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			for range 10 {
				if _, _, err := c.readWhole(); err != nil {
					return
				}
			}
		}
	})
	d := peerOf(f.session())
	for i := range 1000 {
		d.Peers["r"].Routes[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)] = Route{}
	}
	r := startRouter(t)
	var goroutines int
	var before uint64
	for n, count := range []int{20, *flaps} {
		for want := f.count() + count; f.count() < want; {
			// Each failure counts, so that none is waited for: what is watched is what sessions leave behind.
			p := d.Peers["r"]
			p.Mode = Down
			d.Peers["r"] = p
			if _, err := r.Apply(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			p.Mode = Up
			d.Peers["r"] = p
			until(t, r, d, "the session is up", established)
		}
		if n == 0 {
			goroutines, before = runtime.NumGoroutine(), heap()
		}
	}
	settled(t, goroutines)
	if after := heap(); after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d kB over %d sessions", before>>10, after>>10, *flaps)
	} else {
		t.Logf("the heap went from %d to %d kB over %d sessions", before>>10, after>>10, *flaps)
	}
}

var flaps = flag.Int("flaps", 60, "how many sessions TestFlapsDoNotGrow has")

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLoopbackIsLocked: whoever takes the neighbour's address gets no answer without the key.
func TestLoopbackIsLocked(t *testing.T) {
	b := newBench(t)
	if err := b.d.open(t.Context(), b.session); err != nil {
		t.Fatal(err)
	}
	defer b.d.close(context.Background())
	for name, key := range map[string]string{"without a key": "", "with another key": "guess"} {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		conn, err := dialDaemon(ctx, b.d.listen, b.d.neighbour, key)
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("%s, GoBGP answers", name)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn, err := dialDaemon(t.Context(), b.d.listen, b.d.neighbour, b.d.key)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// FuzzRouter gives a router any bytes to say, before and after its OPEN.
func FuzzRouter(f *testing.F) {
	for _, s := range seeds() {
		f.Add(false, s)
		f.Add(true, s)
	}
	f.Add(true, fakeOpen().Append(nil))
	var b *bench
	f.Fuzz(func(t *testing.T, open bool, words []byte) {
		if b == nil {
			b = newBench(t)
		}
		b.run(t, func(c *fakeConn) {
			if open && c.greet(fakeOpen()) != nil {
				return
			}
			c.write(words)
		})
	})
}
