package integration

import (
	"context"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for something that does happen.
const patience = time.Minute

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, what, ok)
}

func eventuallyWithin(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}

// host is a network namespace without a name: it goes with its last socket, process and thread.
type host struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		if h.ns, err = netns.New(); err == nil {
			// Link-local addresses are usable at once.
			err = os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o644)
		}
		made <- err
	}()
	must(t, <-made)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.nl.Close)
	must(t, h.nl.LinkSetUp(h.link("lo")))
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// in runs fn on a thread of the namespace.
func (h *host) in(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(h.ns)
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.nl.LinkByName(name)
	must(h.t, err)
	return l
}

func (h *host) mac() string { return h.link("eth0").Attrs().HardwareAddr.String() }

// dial connects from within the namespace.
func (h *host) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.in(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// lan is a bridge in a namespace of its own.
type lan struct{ *host }

func newLAN(t testing.TB) lan {
	t.Helper()
	l := lan{newHost(t)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan"
	must(t, l.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	must(t, l.nl.LinkSetUp(l.link("lan")))
	return l
}

// join plugs h's eth0, with these addresses, into the bridge port that is called name.
func (l lan) join(h *host, name string, cidrs ...string) {
	l.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(l.t, l.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}))
	must(l.t, l.nl.LinkSetMaster(l.link(name), l.link("lan")))
	must(l.t, l.nl.LinkSetUp(l.link(name)))
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		must(l.t, err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		must(l.t, h.nl.AddrAdd(h.link("eth0"), a))
	}
	must(l.t, h.nl.LinkSetUp(h.link("eth0")))
}
