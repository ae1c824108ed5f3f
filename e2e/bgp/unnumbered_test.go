//go:build linux

package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/speaker/bgp"
)

// TestUnnumbered: no addresses but link-local ones on either end.
func TestUnnumbered(t *testing.T) {
	c := newCable(t)
	for _, a := range []netip.Addr{c.node4, c.node6} {
		bits := map[bool]string{true: "/24", false: "/64"}[a.Is4()]
		ip(t, "addr", "del", a.String()+bits, "dev", c.dev)
	}
	for _, a := range []netip.Addr{c.us4, c.us6} {
		bits := map[bool]string{true: "/24", false: "/64"}[a.Is4()]
		ip(t, "-n", c.ns, "addr", "del", a.String()+bits, "dev", "eth0")
	}
	c.frr(`
router bgp 64513
 bgp router-id 198.51.100.1
 no bgp ebgp-requires-policy
 neighbor eth0 interface remote-as external
 neighbor eth0 timers connect 1
 address-family ipv6 unicast
  neighbor eth0 activate
 exit-address-family
`)
	p := c.peer(routes("203.0.113.7/32", "2001:db8::7/128"))
	p.Session.Address, p.Session.Interface = netip.Addr{}, c.dev
	p.Session.PeerASN = 0
	e := newEngine(t)
	p.Mode, p.Reason = bgp.Waiting, "somebody is to look at the path first"
	found := e.until(only(p), "the router is found", func(s bgp.Status) bool { return s.Remote.IsValid() })
	if found.State != bgp.Idle || found.Message != p.Reason || !found.Remote.Addr().IsLinkLocalUnicast() || found.Remote.Addr().Zone() != c.dev {
		t.Errorf("while it waits: %+v", found)
	}
	p.Mode = bgp.Up
	s := e.established(only(p))
	if s.Remote != found.Remote {
		t.Errorf("found at %s, the session is with %s", found.Remote, s.Remote)
	}
	if !s.Local.Addr().IsLinkLocalUnicast() || !s.Remote.Addr().IsLinkLocalUnicast() || len(s.Withheld) != 0 {
		t.Errorf("status %+v", s)
	}
	eventually(t, "both routes lead to the node's link-local address", func() error {
		for _, dst := range []string{"203.0.113.7", "2001:db8::7"} {
			if via := c.via(dst); via == "" || !strings.HasPrefix(via, "fe80:") && via != "169.254.0.1" {
				return fmt.Errorf("%s via %q, of %v", dst, via, c.kernel())
			}
		}
		return nil
	})
	e.apply(bgp.Desired{})
	c.hasNot("203.0.113.7")
}

func TestUnnumberedWithoutRouter(t *testing.T) {
	c := newCable(t)
	p := c.peer(nil)
	p.Session.Address, p.Session.Interface = netip.Addr{}, c.dev
	e := newEngine(t)
	e.becomes(only(p), bgp.ReasonNoRouter)
	p.Session.Interface = "nonesuch"
	e.becomes(only(p), bgp.ReasonSource)
}
