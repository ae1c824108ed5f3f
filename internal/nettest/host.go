//go:build linux

// Package nettest gives tests hosts of their own: network namespaces that are joined by cables and vanish with the test.
package nettest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest/thread"
)

// Host is a network namespace without a name: it goes with its last socket and thread.
type Host struct {
	t  testing.TB
	ns netns.NsHandle
	// Netlink speaks to the host's kernel.
	Netlink *netlink.Handle
}

// NewHost makes a host with its loopback up and without duplicate address detection. It needs root.
func NewHost(t testing.TB) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes network namespaces")
	}
	h := &Host{t: t}
	made := make(chan error)
	thread.Go(func() {
		var err error
		h.ns, err = netns.New()
		made <- err
	})
	h.Must(<-made)
	h.open()
	h.Up("lo")
	h.Sysctl("ipv6/conf/default/accept_dad", "0")
	return h
}

// Here is the host that the test's own namespace is.
func Here(t testing.TB) *Host {
	t.Helper()
	h := &Host{t: t}
	var err error
	h.ns, err = netns.Get()
	h.Must(err)
	h.open()
	return h
}

func (h *Host) open() {
	h.t.Helper()
	h.t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.Netlink, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	h.Must(err)
	h.t.Cleanup(h.Netlink.Close)
}

// Path is a file that stands for the namespace as long as the test runs, for nsenter and the like.
func (h *Host) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns) }

// Must ends the test on an error.
func (h *Host) Must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// Do runs fn on a thread of its own inside the host. Sockets opened there stay there.
func (h *Host) Do(fn func() error) error {
	done := make(chan error)
	thread.Go(func() {
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- fn()
	})
	return <-done
}

// Run calls fn inside the host until the test ends, which fails if fn does. The channel is closed when fn has returned.
func (h *Host) Run(fn func(context.Context) error) (ended <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.Do(func() error { return fn(ctx) }); err != nil {
			h.t.Errorf("Run: %v", err)
		}
	}()
	h.t.Cleanup(func() {
		cancel()
		<-done
	})
	return done
}

// Dial connects from within the host.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Sysctl sets a value below /proc/sys/net.
func (h *Host) Sysctl(path, value string) {
	h.t.Helper()
	h.Must(h.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/thread-self/root/proc/sys/net", path), []byte(value), 0o600)
	}))
}

// Forward makes the host forward packets.
func (h *Host) Forward() {
	h.t.Helper()
	h.Sysctl("ipv4/ip_forward", "1")
	h.Sysctl("ipv6/conf/all/forwarding", "1")
}

// Link returns an interface by its name.
func (h *Host) Link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.Netlink.LinkByName(name)
	h.Must(err)
	return l
}

// MAC returns the hardware address of an interface.
func (h *Host) MAC(name string) net.HardwareAddr {
	h.t.Helper()
	return h.Link(name).Attrs().HardwareAddr
}

// Up sets an interface up.
func (h *Host) Up(name string) {
	h.t.Helper()
	h.Must(h.Netlink.LinkSetUp(h.Link(name)))
}

// Down sets an interface down. The kernel takes its IPv6 addresses away.
func (h *Host) Down(name string) {
	h.t.Helper()
	h.Must(h.Netlink.LinkSetDown(h.Link(name)))
}

// Bridge joins interfaces with a new bridge, which is set up.
func (h *Host) Bridge(name string, ports ...string) {
	h.t.Helper()
	h.Must(h.Netlink.LinkAdd(&netlink.Bridge{LinkAttrs: Named(name)}))
	h.Up(name)
	for _, port := range ports {
		h.Enslave(name, port)
	}
}

// Enslave makes an interface a port of a bridge, a bond or a VRF.
func (h *Host) Enslave(master, port string) {
	h.t.Helper()
	h.Must(h.Netlink.LinkSetMaster(h.Link(port), h.Link(master)))
}

// Address gives an interface addresses, which are usable at once. It keeps those that it has.
func (h *Host) Address(name string, cidrs ...string) {
	h.t.Helper()
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		h.Must(err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		h.Must(h.Netlink.AddrReplace(h.Link(name), a))
	}
}

// Unaddress takes addresses away from an interface.
func (h *Host) Unaddress(name string, cidrs ...string) {
	h.t.Helper()
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		h.Must(err)
		h.Must(h.Netlink.AddrDel(h.Link(name), a))
	}
}

// Route adds a route by way of a gateway.
func (h *Host) Route(cidr, via string) {
	h.t.Helper()
	dst, err := netlink.ParseIPNet(cidr)
	h.Must(err)
	h.Must(h.Netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: netip.MustParseAddr(via).AsSlice()}))
}

// Cable joins a and b with a pair of interfaces and sets both ends up.
func Cable(a *Host, nameA string, b *Host, nameB string) {
	a.t.Helper()
	a.Must(a.Netlink.LinkAdd(&netlink.Veth{LinkAttrs: Named(nameA), PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}))
	a.Up(nameA)
	b.Up(nameB)
}

// Named returns the attributes of an interface to make.
func Named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

// LAN is a switch, the bridge lan of a host. Whoever sets a port of it down pulls a cable.
type LAN struct{ *Host }

// NewLAN makes a switch without ports.
func NewLAN(t testing.TB) LAN {
	t.Helper()
	l := LAN{NewHost(t)}
	l.Bridge("lan")
	return l
}

// Join plugs h's eth0, with these addresses, into the port of this name.
func (l LAN) Join(h *Host, port string, cidrs ...string) {
	l.t.Helper()
	Cable(l.Host, port, h, "eth0")
	l.Enslave("lan", port)
	h.Address("eth0", cidrs...)
}
