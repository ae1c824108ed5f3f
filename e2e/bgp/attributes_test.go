//go:build linux

package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// path is what FRR has heard of a prefix.
type path struct {
	ASPath    struct{ String string }
	Origin    string
	Metric    uint32
	LocPrf    uint32
	Community struct{ String string }
	Large     struct{ String string } `json:"largeCommunity"`
	Extended  struct{ String string } `json:"extendedCommunity"`
	Nexthops  []struct{ IP string }
	Stale     bool
}

func paths(t *testing.T, f *router.FRR, prefix string) []path {
	t.Helper()
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	var answer struct{ Paths []path }
	if err := f.JSON(t.Context(), fmt.Sprintf("show bgp %s unicast %s", family, prefix), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Paths
}

// hears waits until FRR has exactly one path for the prefix and the path is as wanted.
func hears(t *testing.T, f *router.FRR, prefix string, want path) {
	t.Helper()
	eventually(t, prefix+" is heard as it is to be", func() error {
		all := paths(t, f, prefix)
		if len(all) != 1 {
			return fmt.Errorf("%d paths", len(all))
		}
		if diff := cmp.Diff(want, all[0]); diff != "" {
			return fmt.Errorf("(-want +got)\n%s", diff)
		}
		return nil
	})
}

func nextHop(ips ...string) (all []struct{ IP string }) {
	for _, ip := range ips {
		all = append(all, struct{ IP string }{ip})
	}
	return all
}

func text(s string) struct{ String string } { return struct{ String string }{s} }

func decorated() bgp.Route {
	return bgp.Route{
		Communities:         []bgp.Community{65000<<16 | 7, 0xFFFFFF01}, // the latter is NO_EXPORT
		LargeCommunities:    []bgp.LargeCommunity{{4200000000, 1, 2}},
		ExtendedCommunities: []bgp.ExtendedCommunity{{0x00, 0x02, 0xfd, 0xe8, 0, 0, 0, 9}}, // route target 65000:9
		LocalPref:           bgp.Some(250), MED: bgp.Some(50), Prepend: 2,
	}
}

func TestAttributesExternal(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	p := c.peer(map[netip.Prefix]bgp.Route{
		netip.MustParsePrefix("203.0.113.7/32"):  decorated(),
		netip.MustParsePrefix("2001:db8::7/128"): decorated(),
		netip.MustParsePrefix("203.0.113.8/32"):  {NextHop: c.us4.Next()},
	})
	e.established(only(p))
	want := path{
		ASPath: text("64512 64512 64512"), Origin: "IGP", Metric: 50, Community: text("65000:7 no-export"),
		Large: text("4200000000:1:2"), Extended: text("RT:65000:9"), Nexthops: nextHop(c.node4.String()),
	}
	hears(t, f, "203.0.113.7/32", want)
	hears(t, f, "203.0.113.8/32", path{ASPath: text("64512"), Origin: "IGP", Nexthops: nextHop(c.us4.Next().String())})
	want.Nexthops = nextHop(c.node6.String())
	hears(t, f, "2001:db8::7/128", want)

	p.Routes = map[netip.Prefix]bgp.Route{netip.MustParsePrefix("203.0.113.7/32"): {MED: bgp.Some(9)}}
	before := e.apply(only(p)).Peers["r"]
	hears(t, f, "203.0.113.7/32", path{ASPath: text("64512"), Origin: "IGP", Metric: 9, Nexthops: nextHop(c.node4.String())})
	if after := e.apply(only(p)).Peers["r"]; after.Since != before.Since || after.Flaps != 0 {
		t.Errorf("the session was lost on the way: %+v", after)
	}
}

func internal(c *cable, over netip.Addr) bgp.Peer {
	p := c.peer(map[netip.Prefix]bgp.Route{
		netip.MustParsePrefix("203.0.113.7/32"):  decorated(),
		netip.MustParsePrefix("2001:db8::7/128"): {},
	})
	p.Session.LocalASN, p.Session.PeerASN, p.Session.Address = 4200000001, 4200000001, over
	return p
}

const frrInternal = `
router bgp 4200000001
 bgp router-id 198.51.100.1
 neighbor NODE remote-as 4200000001
 neighbor NODE timers connect 1
 address-family ipv4 unicast
  neighbor NODE activate
 address-family ipv6 unicast
  neighbor NODE activate
 exit-address-family
`

func TestInternal(t *testing.T) {
	for _, over := range []string{"IPv4", "IPv6"} {
		t.Run("over "+over, func(t *testing.T) {
			c := newCable(t)
			node, us := c.node4, c.us4
			if over == "IPv6" {
				node, us = c.node6, c.us6
			}
			f := c.frr(strings.ReplaceAll(frrInternal, "NODE", node.String()))
			newEngine(t).established(only(internal(c, us)))
			hears(t, f, "203.0.113.7/32", path{
				ASPath: text("Local"), Origin: "IGP", Metric: 50, LocPrf: 250, Community: text("65000:7 no-export"),
				Large: text("4200000000:1:2"), Extended: text("RT:65000:9"), Nexthops: nextHop(c.node4.String()),
			})
			hears(t, f, "2001:db8::7/128", path{ASPath: text("Local"), Origin: "IGP", LocPrf: 100, Nexthops: nextHop(c.node6.String())})
			for dst, via := range map[string]string{"203.0.113.7": c.node4.String(), "2001:db8::7": c.node6.String()} {
				eventually(t, dst+" is in the kernel", func() error {
					if got := c.via(dst); got != via {
						return fmt.Errorf("via %q", got)
					}
					return nil
				})
			}
		})
	}
}

func TestFourOctetASNOverIPv6(t *testing.T) {
	c := newCable(t)
	f := c.frr(`
router bgp 4200000002
 bgp router-id 198.51.100.1
 no bgp ebgp-requires-policy
 neighbor $node6 remote-as 4200000001
 neighbor $node6 timers connect 1
 neighbor $node6 capability extended-nexthop
 address-family ipv4 unicast
  neighbor $node6 activate
 address-family ipv6 unicast
  neighbor $node6 activate
 exit-address-family
`)
	p := c.peer(routes("203.0.113.7/32", "2001:db8::7/128"))
	p.Session.LocalASN, p.Session.PeerASN, p.Session.Address = 4200000001, 4200000002, c.us6
	e := newEngine(t)
	e.established(only(p))
	hears(t, f, "203.0.113.7/32", path{ASPath: text("4200000001"), Origin: "IGP", Nexthops: nextHop(c.node4.String())})
	hears(t, f, "2001:db8::7/128", path{ASPath: text("4200000001"), Origin: "IGP", Nexthops: nextHop(c.node6.String())})

	// RFC 8950: the IPv4 route goes by way of an IPv6 next hop.
	p.Session.NextHop4 = c.node6
	e.established(only(p))
	eventually(t, "the kernel's IPv4 route has an IPv6 next hop", func() error {
		if r := c.kernel()["203.0.113.7"]; r.Via.Family != "inet6" {
			return fmt.Errorf("route %+v", r)
		}
		return nil
	})
}

// TestWeights speaks to one router from two addresses, each with a bandwidth of its own.
func TestWeights(t *testing.T) {
	for _, peerASN := range []uint32{64513, 64512} {
		t.Run(fmt.Sprintf("AS 64512 to %d", peerASN), func(t *testing.T) {
			c := newCable(t)
			second := c.us4.Next()
			ip(t, "addr", "add", second.String()+"/24", "dev", c.dev)
			c.frr(fmt.Sprintf(`
router bgp %d
 bgp router-id 198.51.100.1
 no bgp ebgp-requires-policy
 neighbor $node4 remote-as 64512
 neighbor $node4 timers connect 1
 neighbor %s remote-as 64512
 neighbor %s timers connect 1
`, peerASN, second, second))
			prefix := netip.MustParsePrefix("203.0.113.7/32")
			p := c.peer(map[netip.Prefix]bgp.Route{prefix: {Bandwidth: 125e6, BandwidthNonTransitive: peerASN == 64512}})
			q := p
			p.Session.PeerASN, p.Session.SourceAddress = peerASN, c.node4
			q.Session.PeerASN, q.Session.SourceAddress, q.Session.SourceInterface = peerASN, second, c.dev
			q.Session.RouterID = q.Session.RouterID.Next()
			q.Routes = map[netip.Prefix]bgp.Route{prefix: {Bandwidth: 375e6, BandwidthNonTransitive: peerASN == 64512}}
			newEngine(t).established(bgp.Desired{Peers: map[string]bgp.Peer{"p": p, "r": q}})
			eventually(t, "the kernel's next hops have weights of 1 to 3", func() error {
				weights := map[string]int{}
				for _, hop := range c.kernel()["203.0.113.7"].Nexthops {
					weights[hop.Gateway] = hop.Weight
				}
				if weights[c.node4.String()] == 0 || weights[second.String()] != 3*weights[c.node4.String()] {
					return fmt.Errorf("weights %v", weights)
				}
				return nil
			})
		})
	}
}
