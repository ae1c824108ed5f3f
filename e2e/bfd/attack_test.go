package bfd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

// spoofer sends from the router's own address, with a TTL of its choice.
func spoofer(t *testing.T, h *host, from, to string, port int, ttl int) net.Conn {
	t.Helper()
	var conn net.Conn
	h.Must(h.Do(func() (err error) {
		d := net.Dialer{
			LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr(from), 0)),
			Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) {
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
				})
			},
		}
		conn, err = d.DialContext(context.Background(), "udp4", net.JoinHostPort(to, fmt.Sprint(port)))
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// fatal is a packet that takes a session down if it is believed.
func fatal(s bfd.Status) bfd.Packet {
	return bfd.Packet{State: bfd.Down, Multiplier: 3, MyDiscr: s.RemoteDiscr, YourDiscr: s.Discr, DesiredTx: time.Second, RequiredRx: time.Second}
}

func TestSpoofed(t *testing.T) {
	o, path, r, _ := joined(t, steady())
	s := o.Running().Sessions[path]
	right := fatal(s)
	wrong := right
	wrong.YourDiscr++
	tests := []struct {
		name, reason string
		ttl          int
		packet       bfd.Packet
	}{
		{"TTL 254", "ttl", 254, right},
		{"TTL 1", "ttl", 1, right},
		{"wrong discriminator", "unknown_session", 255, wrong},
	}
	for _, tt := range tests {
		conn := spoofer(t, r.host, router4, node4, bfd.PortSingleHop, tt.ttl)
		before := o.dropped(tt.reason)
		for range 50 {
			if _, err := conn.Write(tt.packet.Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		until(t, tt.name, func() bool { return o.dropped(tt.reason) == before+50 })
	}
	if s := o.Running().Sessions[path]; s.State != bfd.Up || s.Downs != 0 {
		t.Errorf("%+v", s)
	}
	conn := spoofer(t, r.host, router4, node4, bfd.PortSingleHop, 255)
	if _, err := conn.Write(right.Append(nil)); err != nil {
		t.Fatal(err)
	}
	o.await(path, "the same packet without a flaw", func(s bfd.Status) bool { return s.Downs == 1 && s.Cause != bfd.CauseDetectionExpired })
}

func TestSpoofedFromAfar(t *testing.T) {
	node, host := distant(t)
	r := startFRR(t, host, append([]string{"peer " + node4 + " multihop local-address " + far4}, frrTimers(300*ms, 5)...)...)
	o, path := startOurs(t, node), bfd.Path{Peer: addr(far4), Local: addr(node4), MultiHop: true}
	set := steady()
	set.MinTTL = 254
	o.watch(path, set)
	o.await(path, "coming up", up)
	conn := spoofer(t, r.host, far4, node4, bfd.PortMultiHop, 254) // one hop more than allowed
	p := fatal(o.Running().Sessions[path])
	before := o.dropped("ttl")
	if _, err := conn.Write(p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	until(t, "the drop", func() bool { return o.dropped("ttl") > before })
	if s := o.Running().Sessions[path]; s.Downs != 0 {
		t.Errorf("%+v", s)
	}
	set.MinTTL = 255
	o.watch(path, set)
	o.await(path, "the router itself is too far away now", down)
}

// TestGarbage sends 10,000 packets a second for ten seconds: noise, and packets that are right but for one thing.
func TestGarbage(t *testing.T) {
	const seconds, rate, burst = 10, 10000, 10
	o, path, r, _ := joined(t, steady())
	machine := startControl(t)
	near := spoofer(t, r.host, router4, node4, bfd.PortSingleHop, 255)
	far := spoofer(t, r.host, router4, node4, bfd.PortSingleHop, 64)
	s := o.Running().Sessions[path]
	random := rand.New(rand.NewPCG(1, 1))
	count := func() (n float64) {
		for _, reason := range []string{"malformed", "ttl", "unknown_session", "authentication"} {
			n += o.dropped(reason)
		}
		return n
	}
	before := count()
	ticker := time.NewTicker(time.Second * burst / rate)
	defer ticker.Stop()
	started := time.Now()
	for n := 0; n < seconds*rate; <-ticker.C {
		for ; n < int(time.Since(started)*rate/time.Second); n++ { // keeps the rate when ticks are late
			sendGarbage(t, n, random, s, near, far)
		}
	}
	took := time.Since(started)
	until(t, "FRR's view", func() bool { return r.peer().Status == "up" })
	dropped := count() - before
	stalls, longest := machine.counts()
	end := o.await(path, "being up", up)
	t.Logf("%d packets in %s, %.0f counted; %d downs here, %d there; the machine stood still %d times (at most %s)",
		seconds*rate, took, dropped, end.Downs, r.downs(), stalls, longest)
	if (end.Downs > 0 || r.downs() > 0) && stalls == 0 {
		t.Errorf("%+v, FRR: %d downs", end, r.downs())
	}
	if dropped < seconds*rate/2 {
		t.Error("hardly any of it arrived")
	}
}

func sendGarbage(t *testing.T, n int, random *rand.Rand, s bfd.Status, near, far net.Conn) {
	t.Helper()
	conn, p := near, fatal(s)
	var b []byte
	switch n % 4 {
	case 0:
		b = make([]byte, 1+random.IntN(100))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		b[0] |= 0x40 // never version 1, so never right by chance
	case 1:
		p.YourDiscr = random.Uint32() | 1
		if p.YourDiscr == s.Discr {
			return
		}
		b = p.Append(nil)
	case 2:
		conn, b = far, p.Append(nil)
	case 3:
		p.Flags = bfd.FlagAuth
		b = append(p.Append(nil), "\x04\x10\x01\x00 no digest.."...)
		b[3] = byte(len(b))
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestPortTaken: the daemon that has the port is named, and once it is gone all goes well.
func TestPortTaken(t *testing.T) {
	node, host := pair(t)
	startFRR(t, host, append([]string{"peer " + node4}, frrTimers(50*ms, 3)...)...)
	other := startBIRD(t, node, birdOptions(birdTimers(50*ms, 3, ""))+"neighbor "+router4+" local "+node4+";")
	o, path := startOurs(t, node), bfd.Path{Peer: addr(router4)}
	r, err := o.Apply(t.Context(), bfd.Desired{Sessions: map[bfd.Path]bfd.Settings{path: timers(50*ms, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Problems[path]; !strings.Contains(p, "3784") || !strings.Contains(p, "bird") {
		t.Errorf("the problem is %q", p)
	}
	if err := other.process.Kill(); err != nil {
		t.Fatal(err)
	}
	o.await(path, "coming up", up)
	if p := o.Running().Problems[path]; p != "" {
		t.Error(p)
	}
}
