//go:build guest

package vrf

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// TestGuest: two routers have the same address, one in the VRF and one outside. A session leads to each, over the VRF's device
// or without one, and each is told the next hop that is on its side. One dials in, too, on the VRF's own port.
func TestGuest(t *testing.T) {
	node := nettest.Here(t)
	node.Must(node.Netlink.LinkAdd(&netlink.Vrf{LinkAttrs: nettest.Named("red"), Table: 100}))
	node.Up("red")
	inside, outside := routerAt(t, node, "in0", "red"), routerAt(t, node, "out0", "")

	r, err := bgp.New(bgp.Options{Log: logr.Discard()})
	node.Must(err)
	node.Run(r.Run)

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
		node.Must(err)
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
	for name, h := range map[string]*neighbour{"inside": inside, "outside": outside} {
		select {
		case <-h.told:
		case <-time.After(time.Minute):
			t.Errorf("the router %s has not been told of the route", name)
		}
	}
}

// neighbour is a router in a namespace of its own, behind an interface of the node's.
type neighbour struct {
	router.Ear
	host *nettest.Host
	told chan struct{}
}

func routerAt(t *testing.T, node *nettest.Host, name, vrf string) *neighbour {
	r := &neighbour{host: nettest.NewHost(t), told: make(chan struct{}, 10)}
	r.Open = wire.Open{ASN: 64513, HoldTime: 30, RouterID: netip.MustParseAddr("192.0.2.2"), Families: wire.IPv4 | wire.IPv6, FourOctetASN: true}
	r.Told = func([]byte) { r.told <- struct{}{} }
	nettest.Cable(r.host, "eth0", node, name)
	r.host.Address("eth0", "10.0.0.2/24")
	if vrf != "" {
		node.Enslave(vrf, name)
	}
	node.Address(name, "10.0.0.1/24")
	var l net.Listener
	r.host.Must(r.host.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", "10.0.0.2:179")
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go r.Serve(l)
	return r
}

// dial tries a session the other way round. It is tried again.
func (r *neighbour) dial(port uint16) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c, err := r.host.Dial(ctx, "tcp4", netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port).String()); err == nil {
		go r.Listen(c)
	}
}
