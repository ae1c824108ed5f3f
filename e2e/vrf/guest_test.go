//go:build guest

package vrf

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

var (
	prefix = netip.MustParsePrefix("203.0.113.7/32")
	node   = netip.MustParseAddr("10.0.0.1") // in the VRF and outside
	peer   = netip.MustParseAddr("10.0.0.2") // likewise
	dialer = netip.MustParseAddr("10.0.1.2") // in the VRF
)

const listens = 1790

// TestGuest: two routers, BIRDs, have the same address, one in the VRF and one outside. A session leads to each, over the VRF's
// device or without one, and each has the route in its kernel, by the next hop that is on its side. A third dials in, on the VRF's
// own port.
func TestGuest(t *testing.T) {
	h := nettest.Here(t)
	h.Must(h.Netlink.LinkAdd(&netlink.Vrf{LinkAttrs: nettest.Named("red"), Table: 100}))
	h.Up("red")
	birds := map[string]*nettest.Host{
		"inside": neighbour(t, h, "in0", "red", "10.0.0.2/24", "10.0.0.1/24"), "outside": neighbour(t, h, "out0", "", "10.0.0.2/24", "10.0.0.1/24"),
	}
	for _, b := range birds {
		bird(t, b)
	}
	third := neighbour(t, h, "in1", "red", "10.0.1.2/24", "10.0.1.1/24")

	r, err := bgp.New(bgp.Options{Log: logr.Discard()})
	h.Must(err)
	h.Run(r.Run)
	session := bgp.Session{LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("192.0.2.1"), Address: peer, HoldTime: 30 * time.Second}
	routes := map[netip.Prefix]bgp.Route{prefix: {}}
	d := bgp.Desired{Peers: map[string]bgp.Peer{"outside": {Session: session, Routes: routes}}}
	session.SourceInterface = "red"
	d.Peers["inside"] = bgp.Peer{Session: session, Routes: routes}
	session.Listen, session.Address, session.SourceAddress, session.Port = true, dialer, netip.MustParseAddr("10.0.1.1"), listens
	d.Peers["dials"] = bgp.Peer{Session: session, Routes: routes}

	told := make(chan struct{}, 10)
	limit := time.After(3 * time.Minute)
	for up := 0; up < len(d.Peers); {
		running, err := r.Apply(t.Context(), d)
		h.Must(err)
		up = 0
		for _, s := range running.Peers {
			if s.State == bgp.Established {
				up++
			}
		}
		select {
		case <-r.Changed():
		case <-time.After(time.Second):
			dial(third, told)
		case <-limit:
			t.Fatalf("sessions: %+v", running)
		}
	}
	for name, b := range birds {
		for !has(t, b) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-limit:
				t.Fatalf("the router %s has no route to %s by %s", name, prefix, node)
			}
		}
	}
	select {
	case <-told:
	case <-limit:
		t.Error("the router that dials has not been told of the route")
	}
}

// neighbour is a namespace behind an interface of the node's.
func neighbour(t *testing.T, node *nettest.Host, name, vrf, theirs, ours string) *nettest.Host {
	t.Helper()
	h := nettest.NewHost(t)
	nettest.Cable(h, "eth0", node, name)
	h.Address("eth0", theirs)
	if vrf != "" {
		node.Enslave(vrf, name)
	}
	node.Address(name, ours)
	return h
}

const birdConf = `log stderr all;
router id 192.0.2.2;
protocol device {}
protocol kernel { ipv4 { import none; export all; }; }
protocol bgp node {
  local %s as 64513;
  neighbor %s as 64512;
  passive;
  ipv4 { import all; export none; };
}
`

// bird starts BIRD on a host, for as long as the test goes on.
func bird(t *testing.T, h *nettest.Host) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "bird.conf")
	h.Must(os.WriteFile(conf, fmt.Appendf(nil, birdConf, peer, node), 0o600))
	var said bytes.Buffer
	cmd := exec.Command("/usr/sbin/bird", "-f", "-c", conf, "-s", filepath.Join(dir, "bird.ctl"))
	cmd.Stdout, cmd.Stderr = &said, &said
	h.Must(h.Do(cmd.Start))
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("BIRD: %s", said.String())
		}
	})
}

// has tells whether a router's kernel has the route.
func has(t *testing.T, h *nettest.Host) bool {
	t.Helper()
	routes, err := h.Netlink.RouteList(nil, netlink.FAMILY_V4)
	h.Must(err)
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == prefix.String() && r.Gw.String() == node.String() {
			return true
		}
	}
	return false
}

// dial tries a session the other way round. It is tried again.
func dial(h *nettest.Host, told chan<- struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := h.Dial(ctx, "tcp4", netip.AddrPortFrom(netip.MustParseAddr("10.0.1.1"), listens).String())
	if err != nil {
		return
	}
	r := &router.Ear{Open: wire.Open{
		ASN: 64513, HoldTime: 30, RouterID: netip.MustParseAddr("192.0.2.3"), Families: wire.IPv4 | wire.IPv6, FourOctetASN: true,
	}}
	r.Told = func([]byte) { told <- struct{}{} }
	go r.Listen(c)
}
