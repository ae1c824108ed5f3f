//go:build linux

// Package nettest gives tests hosts of their own: network namespaces that are joined by cables and vanish with the test.
package nettest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		h.ns, err = netns.New()
		made <- err
	}()
	h.Must(<-made)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.Netlink, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	h.Must(err)
	t.Cleanup(h.Netlink.Close)
	h.Must(h.Netlink.LinkSetUp(h.Link("lo")))
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
	t.Cleanup(func() { _ = h.ns.Close() })
	h.Netlink, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	h.Must(err)
	t.Cleanup(h.Netlink.Close)
	return h
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

// Address gives an interface addresses, which are usable at once.
func (h *Host) Address(name string, cidrs ...string) {
	h.t.Helper()
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		h.Must(err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		h.Must(h.Netlink.AddrAdd(h.Link(name), a))
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
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	a.Must(a.Netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}))
	a.Must(a.Netlink.LinkSetUp(a.Link(nameA)))
	b.Must(b.Netlink.LinkSetUp(b.Link(nameB)))
}
