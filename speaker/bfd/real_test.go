package bfd

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

const patience = 20 * time.Second

// pair is two hosts on one cable, eth0 on both.
func pair(t *testing.T) (a, b *nettest.Host) {
	t.Helper()
	a, b = nettest.NewHost(t), nettest.NewHost(t)
	nettest.Cable(a, "eth0", b, "eth0")
	a.Address("eth0", "10.0.0.1/24", "fd00::1/64", "fe80::1/64")
	b.Address("eth0", "10.0.0.2/24", "fd00::2/64", "fe80::2/64")
	return a, b
}

// run runs an engine with the kernel's sockets on a thread of the namespace.
func run(t *testing.T, h *nettest.Host) *Engine {
	t.Helper()
	e, err := New(Options{Log: testr.New(t)})
	h.Must(err)
	h.Run(e.Run)
	return e
}

// TestReal runs two engines over real sockets, in every way at once.
func TestReal(t *testing.T) {
	a, b := pair(t)
	paths := func(me, you string) map[Path]Settings {
		at := func(prefix, n string) netip.Addr { return netip.MustParseAddr(prefix + n) }
		fast, signed, far := settings(), settings(), settings()
		signed.Auth = Auth{AuthMeticulousSHA1, 1, "secret"}
		far.MinTTL = 255
		return map[Path]Settings{
			{Peer: at("10.0.0.", you)}:                                                 fast,
			{Peer: at("fd00::", you), Local: at("fd00::", me)}:                         signed,
			{Peer: at("fe80::", you).WithZone("eth0")}:                                 fast,
			{Peer: at("10.0.0.", you), MultiHop: true}:                                 far,
			{Peer: at("fd00::", you), Local: at("fd00::", me), MultiHop: true}:         signed,
			{Peer: at("10.0.0.", you), Local: at("10.0.0.", me), Interface: "nothing"}: fast,
		}
	}
	ea, eb := run(t, a), run(t, b)
	pa := paths("1", "2")
	apply(t, ea, pa)
	apply(t, eb, paths("2", "1"))
	hopeless := Path{Peer: netip.MustParseAddr("10.0.0.2"), Local: netip.MustParseAddr("10.0.0.1"), Interface: "nothing"}
	for path := range pa {
		if path != hopeless {
			await(t, ea, path, patience, "coming up", func(s Status) bool { return up(s) && s.Detection == 150*ms })
		}
	}
	if p := ea.Running().Problems[hopeless]; !strings.Contains(p, "nothing") {
		t.Errorf("the problem of an interface that is not there is %q", p)
	}

	b.Down("eth0")
	for path := range pa {
		if path != hopeless {
			if s := await(t, ea, path, patience, "the cut", down); s.Cause != CauseDetectionExpired {
				t.Errorf("%v: %+v", path, s)
			}
		}
	}
}

// TestWire checks what RFC 5881 §4 and §5 say of packets: TTL, ports, and that the port stays.
func TestWire(t *testing.T) {
	a, b := pair(t)
	for _, peer := range []string{"10.0.0.2", "fd00::2", "fe80::2%eth0"} {
		path, err := to(peer).plain()
		a.Must(err)
		kb := newKernel()
		var r Receiver
		b.Must(b.Do(func() (err error) { r, err = kb.Listen(path.scope()); return err }))
		var s Sender
		a.Must(a.Do(func() (err error) { s, err = newKernel().Dial(path); return err }))
		ports := map[uint16]bool{}
		for range 3 {
			a.Must(s.Write(wire()))
			b.Must(r.(*udpReceiver).conn.SetReadDeadline(time.Now().Add(patience)))
			n, meta, err := r.Read(make([]byte, readLen))
			b.Must(err)
			if n != headerLen || meta.TTL != 255 || meta.Local != path.Peer || meta.IfIndex != b.Link("eth0").Attrs().Index || meta.Peer.Zone() != "" {
				t.Errorf("%s: %d bytes with %+v", peer, n, meta)
			}
			ports[s.(*udpSender).conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()] = true
		}
		for port := range ports {
			if len(ports) != 1 || port < firstPort {
				t.Errorf("%s: ports %v", peer, ports)
			}
		}
		buffer := make([]byte, readLen)
		if n := testing.AllocsPerRun(50, func() {
			a.Must(s.Write(wire()))
			_, _, err := r.Read(buffer)
			b.Must(err)
		}); n > 1 { // one for the packet itself
			t.Errorf("%s: %v allocations for each packet", peer, n)
		}
		a.Must(s.Close())
		b.Must(r.Close())
	}
}

// TestScopes: sockets of a device and of none stand side by side on one port, and each hears its own.
func TestScopes(t *testing.T) {
	a, b := pair(t)
	k := newKernel()
	var all, device Receiver
	a.Must(a.Do(func() (err error) {
		if all, err = k.Listen(Scope{}); err != nil {
			return err
		}
		device, err = k.Listen(Scope{VRF: "eth0"}) // any device will do
		return err
	}))
	var s Sender
	b.Must(b.Do(func() (err error) { s, err = newKernel().Dial(to("10.0.0.1")); return err }))
	b.Must(s.Write(wire()))
	a.Must(device.(*udpReceiver).conn.SetReadDeadline(time.Now().Add(patience)))
	if n, _, err := device.Read(make([]byte, readLen)); err != nil || n != headerLen {
		t.Error("the device's socket heard nothing:", err)
	}
	err := a.Do(func() error { _, err := newKernel().Listen(Scope{}); return err })
	if err == nil || !strings.Contains(err.Error(), "3784") || !strings.Contains(err.Error(), "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("a second program's socket: %v", err)
	}
	a.Must(device.Close())
	a.Must(all.Close())
	b.Must(s.Close())
}

// TestEchoSocket loops echo packets at a host that forwards.
func TestEchoSocket(t *testing.T) {
	a, b := pair(t)
	b.Forward()
	for me, you := range map[string]string{"10.0.0.1": "10.0.0.2", "fd00::1": "fd00::2"} {
		local, peer := netip.MustParseAddr(me), netip.MustParseAddr(you)
		var e EchoConn
		a.Must(a.Do(func() (err error) {
			e, err = newKernel().Echo(a.Link("eth0").Attrs().Index, local.Is6())
			return err
		}))
		payload := (&session{machine: &machine{discr: 5}, token: 6}).encodeEcho(nil)
		if err := e.Write(payload, local, netip.MustParseAddr("10.0.0.77")); err == nil {
			t.Error("an unknown neighbour is no error")
		}
		a.Must(a.Netlink.NeighSet(&netlink.Neigh{
			LinkIndex: a.Link("eth0").Attrs().Index, IP: peer.AsSlice(), HardwareAddr: b.MAC("eth0"), State: unix.NUD_PERMANENT,
		}))
		b.Must(b.Netlink.NeighSet(&netlink.Neigh{
			LinkIndex: b.Link("eth0").Attrs().Index, IP: local.AsSlice(), HardwareAddr: a.MAC("eth0"), State: unix.NUD_PERMANENT,
		}))
		e.(*echoSocket).refreshed = time.Time{} // the table was read before the neighbour was in it
		a.Must(e.Write(payload, local, peer))
		a.Must(e.(*echoSocket).conn.SetReadDeadline(time.Now().Add(patience)))
		buffer := make([]byte, readLen)
		n, meta, err := e.Read(buffer)
		a.Must(err)
		if string(buffer[:n]) != string(payload) || meta.TTL != 254 || meta.Local != local || meta.Peer != local {
			t.Errorf("%s: %x with %+v came back", me, buffer[:n], meta)
		}
		a.Must(e.Close())
	}
}
