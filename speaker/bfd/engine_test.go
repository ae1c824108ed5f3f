package bfd

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func to(addr string) Path { return Path{Peer: netip.MustParseAddr(addr)} }

const (
	addrA = "10.0.0.1"
	addrB = "10.0.0.2"
)

func value(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// duo is two engines that watch each other.
func duo(t *testing.T, set Settings) (a, b *Engine, wire *wireless) {
	wire = newWireless()
	a, _ = start(t, wire.host(addrA))
	b, _ = start(t, wire.host(addrB))
	apply(t, a, map[Path]Settings{to(addrB): set})
	apply(t, b, map[Path]Settings{to(addrA): set})
	await(t, a, to(addrB), 5*time.Second, "coming up", up)
	await(t, b, to(addrA), 5*time.Second, "coming up", up)
	return a, b, wire
}

func TestEngines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := duo(t, settings())
		time.Sleep(time.Second)
		if s := a.Running().Sessions[to(addrB)]; s.Interval != 50*ms || s.Detection != 150*ms || s.Why() != "" {
			t.Errorf("%+v", s)
		}

		cut := time.Now()
		wire.setCut(true)
		s := await(t, a, to(addrB), time.Second, "the cut", down)
		if took := time.Since(cut); took < 100*ms || took > 151*ms {
			t.Errorf("noticed after %s", took)
		}
		if !s.Failed() || s.Why() != "detection time expired after 150ms" || s.Downs != 1 || !s.Since.Equal(time.Now()) {
			t.Errorf("%+v, %q", s, s.Why())
		}

		wire.setCut(false)
		await(t, a, to(addrB), 5*time.Second, "healing", up)
		await(t, b, to(addrA), 5*time.Second, "healing", up)
	})
}

func TestApplyKeepsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := duo(t, settings())
		set := settings()
		set.MinTx, set.MinRx, set.Multiplier = 200*ms, 300*ms, 5
		apply(t, a, map[Path]Settings{to(addrB): set, to("10.0.0.9"): set})
		await(t, b, to(addrA), 5*time.Second, "slower", func(s Status) bool { return s.Interval == 300*ms && s.Detection == time.Second })
		s := await(t, a, to(addrB), 5*time.Second, "slower", func(s Status) bool { return s.Interval == 200*ms && s.Detection == 900*ms })
		if s.State != Up || s.Downs != 0 {
			t.Errorf("%+v", s)
		}
		if s := a.Running().Sessions[to("10.0.0.9")]; s.State != Down || s.Failed() {
			t.Errorf("a peer that is not there: %+v", s)
		}
		for state, want := range map[State]float64{Up: 1, Down: 1, Init: 0} {
			if got := value(t, a.metrics.sessions.WithLabelValues(state.String())); got != want {
				t.Errorf("%v sessions are %s, want %v", got, state, want)
			}
		}
	})
}

// TestApplyOfTheSame is no news: whoever applies on every change comes to rest.
func TestApplyOfTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _ := duo(t, settings())
		same := map[Path]Settings{to(addrB): settings()}
		select {
		case <-a.Changed(): // of before
		default:
		}
		apply(t, a, same)
		select {
		case <-a.Changed():
			t.Error("what was applied before is news")
		default:
		}
		apply(t, a, nil)
		<-a.Changed()
	})
}

// TestLeaving: a peer that is no longer watched hears that this is no failure, and the sockets go in the end.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := duo(t, settings())
		apply(t, a, nil)
		if r := a.Running(); len(r.Sessions) != 0 {
			t.Errorf("still running: %+v", r)
		}
		s := await(t, b, to(addrA), ms, "the farewell", down)
		if s.Failed() || s.Cause != CauseNeighborAdminDown {
			t.Errorf("%+v", s)
		}
		time.Sleep(farewell + ms)
		wire.hosts[netip.MustParseAddr(addrA)].set(func() {
			if n := wire.hosts[netip.MustParseAddr(addrA)].open; n != 0 {
				t.Errorf("%d sockets are open", n)
			}
		})

		apply(t, a, map[Path]Settings{to(addrB): settings()})
		await(t, b, to(addrA), 5*time.Second, "coming again", up)
		apply(t, a, nil)
		await(t, b, to(addrA), ms, "the farewell", down)
		apply(t, a, map[Path]Settings{to(addrB): settings()})
		await(t, b, to(addrA), 5*time.Second, "coming again while leaving", up)
		time.Sleep(2 * farewell)
		if s := b.Running().Sessions[to(addrA)]; s.State != Up {
			t.Errorf("it left all the same: %+v", s)
		}
	})
}

func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newWireless()
		a, stop := start(t, wire.host(addrA))
		b, _ := start(t, wire.host(addrB))
		apply(t, a, map[Path]Settings{to(addrB): settings()})
		apply(t, b, map[Path]Settings{to(addrA): settings()})
		await(t, b, to(addrA), 5*time.Second, "coming up", up)
		stop()
		if s := await(t, b, to(addrA), ms, "the farewell", down); s.Cause != CauseNeighborAdminDown {
			t.Errorf("%+v", s)
		}
		if _, err := a.Apply(t.Context(), Desired{}); !errors.Is(err, ErrStopped) {
			t.Errorf("Apply after the end: %v", err)
		}
	})
}

func TestProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newWireless()
		n := wire.host(addrA)
		n.listenErr = errors.New("port taken by bfdd")
		a, _ := start(t, n)
		b, _ := start(t, wire.host(addrB))
		apply(t, b, map[Path]Settings{to(addrA): settings()})
		bad := settings()
		bad.Multiplier = 0
		r := apply(t, a, map[Path]Settings{to(addrB): settings(), to("10.0.0.3"): bad, to("fe80::1"): settings(), to("fe80::1%eth0"): settings(),
			{Peer: netip.MustParseAddr("fe80::1"), Interface: "eth0"}: settings()})
		for path, want := range map[Path]string{
			to(addrB): "bfdd", to("10.0.0.3"): "multiplier", to("fe80::1"): "interface", to("fe80::1%eth0"): "twice",
		} {
			if !strings.Contains(r.Problems[path], want) {
				t.Errorf("%v: %q, want something with %q", path, r.Problems[path], want)
			}
		}

		solved := func(Status) bool { return a.Running().Problems[to(addrB)] == "" }
		n.set(func() { n.listenErr, n.dialErr = nil, errors.New("no such interface") })
		await(t, a, to(addrB), 2*time.Second, "another problem", func(Status) bool {
			return a.Running().Problems[to(addrB)] == "no such interface"
		})
		n.set(func() { n.dialErr = nil })
		await(t, a, to(addrB), retry+ms, "solved by a packet that goes out at once", solved)
		await(t, a, to(addrB), 5*time.Second, "coming up", up)

		n.set(func() { n.writeErr = errors.New("network unreachable") })
		await(t, a, to(addrB), time.Second, "failing to send", func(Status) bool { return !solved(Status{}) })
		var before int
		n.set(func() { before = n.dials })
		time.Sleep(10 * time.Second)
		n.set(func() {
			if n.dials-before < 8 || n.dials-before > 40 {
				t.Errorf("%d new sockets in ten seconds", n.dials-before)
			}
			n.writeErr = nil
		})
		await(t, a, to(addrB), 2*time.Second, "solved", solved)
		await(t, a, to(addrB), 5*time.Second, "coming up", up)

		n.inject(to(addrB).scope(), fakePacket{err: errors.New("device gone")})
		await(t, a, to(addrB), time.Second, "failing to receive", func(Status) bool { return !solved(Status{}) })
		await(t, a, to(addrB), 5*time.Second, "coming up", func(s Status) bool { return solved(s) && up(s) })
	})
}

// TestDropped injects what must not touch a session that is up, ten thousand times a second, and counts it.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, wire := duo(t, settings())
		time.Sleep(time.Second)
		n := wire.hosts[netip.MustParseAddr(addrA)]
		single := to(addrB).scope()
		meta := Meta{Peer: netip.MustParseAddr(addrB), Local: netip.MustParseAddr(addrA), IfIndex: 1, TTL: 255}
		status := a.Running().Sessions[to(addrB)]
		good := Packet{State: Down, Multiplier: 1, MyDiscr: status.RemoteDiscr, YourDiscr: status.Discr}
		packet := func(fn func(*Packet)) []byte { p := good; fn(&p); return p.Append(nil) }
		with := func(fn func(*Meta)) Meta { m := meta; fn(&m); return m }
		tests := []struct {
			reason string
			b      []byte
			meta   Meta
		}{
			{droppedTTL, good.Append(nil), with(func(m *Meta) { m.TTL = 254 })},
			{droppedUnknown, packet(func(p *Packet) { p.YourDiscr++ }), meta},
			{droppedUnknown, good.Append(nil), with(func(m *Meta) { m.Peer = netip.MustParseAddr("10.0.0.3") })},
			{droppedAuth, Auth{AuthSimple, 1, "x"}.sign(good.Append(nil), 0), meta},
			{droppedMalformed, []byte("garbage"), meta},
			{droppedMalformed, make([]byte, 100), meta},
		}
		for _, tt := range tests {
			before := value(t, a.metrics.dropped.WithLabelValues(tt.reason))
			for range 1000 {
				n.inject(single, fakePacket{b: tt.b, meta: tt.meta})
				time.Sleep(100 * time.Microsecond)
			}
			synctest.Wait()
			if got := value(t, a.metrics.dropped.WithLabelValues(tt.reason)) - before; got != 1000 {
				t.Errorf("%s: %v dropped", tt.reason, got)
			}
		}
		for _, s := range []Status{a.Running().Sessions[to(addrB)], b.Running().Sessions[to(addrA)]} {
			if s.State != Up || s.Downs != 0 {
				t.Errorf("%+v", s)
			}
		}
		n.inject(single, fakePacket{b: good.Append(nil), meta: meta}) // the same without a flaw does take it down
		await(t, a, to(addrB), ms, "the one good packet", down)
	})
}

func TestFewestHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newWireless()
		n := wire.host(addrA)
		a, _ := start(t, n)
		path := Path{Peer: netip.MustParseAddr(addrB), MultiHop: true}
		set := settings()
		set.MinTTL = 250
		apply(t, a, map[Path]Settings{path: set})
		p := Packet{State: Down, Multiplier: 3, MyDiscr: 5, DesiredTx: time.Second, RequiredRx: 50 * ms}
		meta := Meta{Peer: path.Peer, Local: netip.MustParseAddr(addrA), IfIndex: 1, TTL: 249}
		n.inject(path.scope(), fakePacket{b: p.Append(nil), meta: meta})
		synctest.Wait()
		if s := a.Running().Sessions[path]; s.State != Down {
			t.Errorf("a packet from too far away is believed: %+v", s)
		}
		meta.TTL = 250
		n.inject(path.scope(), fakePacket{b: p.Append(nil), meta: meta})
		await(t, a, path, ms, "a packet from near enough", func(s Status) bool { return s.State == Init })
	})
}

func TestEngineEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newWireless()
		n := wire.host(addrA)
		n.echo = &fakeEcho{network: n, packets: make(chan fakePacket, 10), closed: make(chan struct{}), loop: true}
		a, _ := start(t, n)
		set := settings()
		set.Echo = 20 * ms
		apply(t, a, map[Path]Settings{to(addrB): set})

		// The peer is a machine by hand: the engine itself never offers to loop.
		discr := a.Running().Sessions[to(addrB)].Discr
		meta := Meta{Peer: netip.MustParseAddr(addrB), Local: netip.MustParseAddr(addrA), IfIndex: 1, TTL: 255}
		say := func(s State) {
			p := Packet{State: s, Multiplier: 3, MyDiscr: 5, YourDiscr: discr, DesiredTx: time.Second, RequiredRx: 50 * ms, RequiredEcho: 50 * ms}
			n.inject(to(addrB).scope(), fakePacket{b: p.Append(nil), meta: meta})
		}
		say(Down)
		say(Up)
		await(t, a, to(addrB), time.Second, "echo", func(s Status) bool { return s.Echo == 50*ms && s.Echoed })
		for range 5 {
			time.Sleep(time.Second)
			say(Up)
		}
		if s := a.Running().Sessions[to(addrB)]; s.State != Up {
			t.Fatalf("%+v", s)
		}
		n.echo.setLoop(false)
		stale := fakePacket{b: binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte("BFec"), discr), 0), meta: meta}
		far := fakePacket{b: n.echo.sent(), meta: meta}
		far.meta.TTL = 253
		for range 3 { // neither a wrong token nor a packet from afar stands for an echo
			n.echo.packets <- stale
			n.echo.packets <- far
			time.Sleep(10 * ms)
		}
		s := await(t, a, to(addrB), 130*ms, "no echo", down)
		if s.Cause != CauseEchoFailed || s.Why() != "no echo came back for 150ms" {
			t.Errorf("%+v, %q", s, s.Why())
		}
	})
}

func TestRegister(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := New(Options{Registerer: r}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Registerer: r}); err == nil {
		t.Error("the same metrics register twice")
	}
}
