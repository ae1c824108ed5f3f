//go:build guest

package vrf

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// TestGuest: two routers have the same address, one in the VRF and one outside. A session leads to each, over the VRF's device
// or without one, and each is told the next hop that is on its side. One dials in, too, on the VRF's own port.
func TestGuest(t *testing.T) {
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	node, err := netlink.NewHandleAt(own, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	red := &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "red"}, Table: 100}
	must(t, node.LinkAdd(red))
	must(t, node.LinkSetUp(red))
	inside, outside := routerAt(t, node, own, "in0", red), routerAt(t, node, own, "out0", nil)

	r, err := bgp.New(bgp.Options{Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); must(t, <-ended) })

	session := bgp.Session{
		LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("192.0.2.1"), Address: netip.MustParseAddr("10.0.0.2"), HoldTime: 30 * time.Second,
	}
	routes := map[netip.Prefix]bgp.Route{netip.MustParsePrefix("203.0.113.7/32"): {}}
	d := bgp.Desired{Peers: map[string]bgp.Peer{"outside": {Session: session, Routes: routes}}}
	session.SourceInterface = "red"
	d.Peers["inside"] = bgp.Peer{Session: session, Routes: routes}
	session.Listen, session.SourceAddress, session.Port = true, netip.MustParseAddr("10.0.0.1"), 1790
	d.Peers["dials"] = bgp.Peer{Session: session}

	for limit := time.After(2 * time.Minute); ; {
		running, err := r.Apply(t.Context(), d)
		must(t, err)
		up := 0
		for _, s := range running.Peers {
			if s.State == bgp.Established {
				up++
			}
		}
		if up == len(d.Peers) {
			break
		}
		select {
		case <-r.Changed():
		case <-time.After(time.Second):
			inside.dial(1790)
		case <-limit:
			t.Fatalf("sessions: %+v", running)
		}
	}
	for name, h := range map[string]*router{"inside": inside, "outside": outside} {
		select {
		case <-h.told:
		case <-time.After(time.Minute):
			t.Errorf("the router %s has not been told of the route", name)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// router is one in a namespace of its own, behind an interface of the node's. It knows as much of BGP as it takes to listen.
type router struct {
	t    *testing.T
	host *nettest.Host
	told chan struct{}
}

func routerAt(t *testing.T, node *netlink.Handle, own netns.NsHandle, name string, vrf netlink.Link) *router {
	r := &router{t, nettest.NewHost(t), make(chan struct{}, 10)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	must(t, r.host.Netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(own)}))
	r.host.Address("eth0", "10.0.0.2/24")
	must(t, r.host.Netlink.LinkSetUp(r.host.Link("eth0")))
	link, err := node.LinkByName(name)
	must(t, err)
	if vrf != nil {
		must(t, node.LinkSetMaster(link, vrf))
	}
	a, err := netlink.ParseAddr("10.0.0.1/24")
	must(t, err)
	must(t, node.AddrAdd(link, a))
	must(t, node.LinkSetUp(link))
	must(t, r.host.Do(func() error {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "10.0.0.2:179")
		if err == nil {
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go r.talk(c)
				}
			}()
		}
		return err
	}))
	return r
}

// dial tries a session the other way round.
func (r *router) dial(port uint16) {
	_ = r.host.Do(func() error { // it is tried again
		c, err := net.DialTimeout("tcp4", netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port).String(), time.Second)
		if err == nil {
			go r.talk(c)
		}
		return err
	})
}

func (r *router) talk(c net.Conn) {
	defer c.Close()
	open := wire.Open{ASN: 64513, HoldTime: 30, RouterID: netip.MustParseAddr("192.0.2.2"), Families: wire.IPv4 | wire.IPv6, FourOctetASN: true}
	if _, err := c.Write(append(open.Append(nil), wire.Keepalive()...)); err != nil {
		return
	}
	in := bufio.NewReader(c)
	for {
		var h [wire.HeaderLen]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return
		}
		kind, length, err := wire.ParseHeader(h)
		if err != nil {
			return
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		switch kind {
		case wire.TypeUpdate:
			r.told <- struct{}{}
		case wire.TypeKeepalive:
			if _, err := c.Write(wire.Keepalive()); err != nil {
				return
			}
		}
	}
}
