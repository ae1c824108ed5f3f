package bfd

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for something that does happen.
const patience = 20 * time.Second

// host is a network namespace without a name: it goes with its last socket and thread. One thread does all that must be done
// inside, and stays as long as the test: processes die with the thread that started them.
type host struct {
	t    *testing.T
	ns   netns.NsHandle
	nl   *netlink.Handle
	jobs chan func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes network namespaces")
	}
	h := &host{t: t, jobs: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		h.ns, err = netns.New()
		made <- err
		for job := range h.jobs {
			job()
		}
	}()
	h.must(<-made)
	t.Cleanup(func() { close(h.jobs); _ = h.ns.Close() })
	var err error
	h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	h.must(err)
	t.Cleanup(h.nl.Close)
	h.must(h.nl.LinkSetUp(h.link("lo")))
	h.sysctl("ipv6/conf/default/accept_dad", "0") // link-local addresses are usable at once
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// in runs fn on the thread of the namespace.
func (h *host) in(fn func() error) error {
	done := make(chan error)
	h.jobs <- func() { done <- fn() }
	return <-done
}

// alone runs fn on a thread of its own in the namespace.
func (h *host) alone(fn func() error) error {
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

func (h *host) sysctl(path, value string) {
	h.t.Helper()
	h.must(h.alone(func() error {
		return os.WriteFile(filepath.Join("/proc/thread-self/root/proc/sys/net", path), []byte(value), 0o644)
	}))
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

func (h *host) route(cidr, via string) {
	h.t.Helper()
	dst, err := netlink.ParseIPNet(cidr)
	h.must(err)
	h.must(h.nl.RouteAdd(&netlink.Route{Dst: dst, Gw: netip.MustParseAddr(via).AsSlice()}))
}

func (h *host) forward() {
	h.t.Helper()
	h.sysctl("ipv4/ip_forward", "1")
	h.sysctl("ipv6/conf/all/forwarding", "1")
}

// linkLocal returns the link-local address of an interface, which the kernel gives it soon after it has come up.
func (h *host) linkLocal(name string) (found netip.Addr) {
	h.t.Helper()
	until(h.t, "a link-local address of "+name, func() bool {
		addrs, err := h.nl.AddrList(h.link(name), unix.AF_INET6)
		h.must(err)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				found = netip.AddrFrom16([16]byte(a.IP.To16()))
			}
		}
		return found.IsValid()
	})
	return found
}

// cable joins a and b with a pair of devices and sets both ends up.
func cable(a *host, nameA string, b *host, nameB string) {
	a.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	a.must(a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}))
	a.must(a.nl.LinkSetUp(a.link(nameA)))
	b.must(b.nl.LinkSetUp(b.link(nameB)))
}

// until polls a condition of another program.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// lasts lets real time pass, in which a condition must hold.
func lasts(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); <-ticker.C {
		if !cond() {
			t.Fatalf("%s does not last", what)
		}
	}
}
