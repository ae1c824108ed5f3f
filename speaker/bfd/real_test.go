package bfd

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

// host is a network namespace without a name: it goes with its last socket and thread.
type host struct {
	t  *testing.T
	ns netns.NsHandle
	nl *netlink.Handle
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes network namespaces")
	}
	h := &host{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		h.ns, err = netns.New()
		made <- err
	}()
	h.must(<-made)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	h.must(err)
	t.Cleanup(h.nl.Close)
	h.must(h.nl.LinkSetUp(h.link("lo")))
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// in runs fn on a thread of the namespace.
func (h *host) in(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.nl.LinkByName(name)
	h.must(err)
	return l
}

func (h *host) address(name string, cidrs ...string) {
	h.t.Helper()
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		h.must(err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		h.must(h.nl.AddrAdd(h.link(name), a))
	}
}

// pair is two hosts on one cable, eth0 on both.
func pair(t *testing.T) (a, b *host) {
	t.Helper()
	a, b = newHost(t), newHost(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	a.must(a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.ns)}))
	for i, h := range []*host{a, b} {
		h.must(h.nl.LinkSetUp(h.link("eth0")))
		n := strconv.Itoa(i + 1)
		h.address("eth0", "10.0.0."+n+"/24", "fd00::"+n+"/64", "fe80::"+n+"/64")
	}
	return a, b
}

// run runs an engine with the kernel's sockets on a thread of the namespace.
func (h *host) run() *Engine {
	h.t.Helper()
	e, err := New(Options{Log: testr.New(h.t)})
	h.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.in(func() error { return e.Run(ctx) }) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
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
	ea, eb := a.run(), b.run()
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

	b.must(b.nl.LinkSetDown(b.link("eth0")))
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
		a.must(err)
		kb := newKernel()
		var r Receiver
		b.must(b.in(func() (err error) { r, err = kb.Listen(path.scope()); return err }))
		var s Sender
		a.must(a.in(func() (err error) { s, err = newKernel().Dial(path); return err }))
		ports := map[uint16]bool{}
		for range 3 {
			a.must(s.Write(wire()))
			b.must(r.(*udpReceiver).conn.SetReadDeadline(time.Now().Add(patience)))
			n, meta, err := r.Read(make([]byte, readLen))
			b.must(err)
			if n != headerLen || meta.TTL != 255 || meta.Local != path.Peer || meta.IfIndex != b.link("eth0").Attrs().Index || meta.Peer.Zone() != "" {
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
			a.must(s.Write(wire()))
			_, _, err := r.Read(buffer)
			b.must(err)
		}); n > 1 { // one for the packet itself
			t.Errorf("%s: %v allocations for each packet", peer, n)
		}
		a.must(s.Close())
		b.must(r.Close())
	}
}

// TestScopes: sockets of a device and of none stand side by side on one port, and each hears its own.
func TestScopes(t *testing.T) {
	a, b := pair(t)
	k := newKernel()
	var all, device Receiver
	a.must(a.in(func() (err error) {
		if all, err = k.Listen(Scope{}); err != nil {
			return err
		}
		device, err = k.Listen(Scope{VRF: "eth0"}) // any device will do
		return err
	}))
	var s Sender
	b.must(b.in(func() (err error) { s, err = newKernel().Dial(to("10.0.0.1")); return err }))
	b.must(s.Write(wire()))
	a.must(device.(*udpReceiver).conn.SetReadDeadline(time.Now().Add(patience)))
	if n, _, err := device.Read(make([]byte, readLen)); err != nil || n != headerLen {
		t.Error("the device's socket heard nothing:", err)
	}
	err := a.in(func() error { _, err := newKernel().Listen(Scope{}); return err })
	if err == nil || !strings.Contains(err.Error(), "3784") || !strings.Contains(err.Error(), "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("a second program's socket: %v", err)
	}
	a.must(device.Close())
	a.must(all.Close())
	b.must(s.Close())
}

// TestEchoSocket loops echo packets at a host that forwards.
func TestEchoSocket(t *testing.T) {
	a, b := pair(t)
	b.must(b.in(func() error {
		for _, f := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0o644); err != nil {
				return err
			}
		}
		return nil
	}))
	for me, you := range map[string]string{"10.0.0.1": "10.0.0.2", "fd00::1": "fd00::2"} {
		local, peer := netip.MustParseAddr(me), netip.MustParseAddr(you)
		var e EchoConn
		a.must(a.in(func() (err error) {
			e, err = newKernel().Echo(a.link("eth0").Attrs().Index, local.Is6())
			return err
		}))
		payload := (&session{machine: &machine{discr: 5}, token: 6}).encodeEcho(nil)
		if err := e.Write(payload, local, netip.MustParseAddr("10.0.0.77")); err == nil {
			t.Error("an unknown neighbour is no error")
		}
		a.must(a.nl.NeighSet(&netlink.Neigh{
			LinkIndex: a.link("eth0").Attrs().Index, IP: peer.AsSlice(), HardwareAddr: b.link("eth0").Attrs().HardwareAddr, State: unix.NUD_PERMANENT,
		}))
		b.must(b.nl.NeighSet(&netlink.Neigh{
			LinkIndex: b.link("eth0").Attrs().Index, IP: local.AsSlice(), HardwareAddr: a.link("eth0").Attrs().HardwareAddr, State: unix.NUD_PERMANENT,
		}))
		e.(*echoSocket).refreshed = time.Time{} // the table was read before the neighbour was in it
		a.must(e.Write(payload, local, peer))
		a.must(e.(*echoSocket).conn.SetReadDeadline(time.Now().Add(patience)))
		buffer := make([]byte, readLen)
		n, meta, err := e.Read(buffer)
		a.must(err)
		if string(buffer[:n]) != string(payload) || meta.TTL != 254 || meta.Local != local || meta.Peer != local {
			t.Errorf("%s: %x with %+v came back", me, buffer[:n], meta)
		}
		a.must(e.Close())
	}
}
