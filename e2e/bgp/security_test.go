//go:build linux

package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp"
)

// becomes applies d until the peer is in trouble for the given reason.
func (e *engine) becomes(d bgp.Desired, reason bgp.Reason) bgp.Status {
	e.t.Helper()
	return e.until(d, "the session fails for reason "+string(reason), func(s bgp.Status) bool {
		return s.State != bgp.Established && s.Reason == reason
	})
}

func TestPassword(t *testing.T) {
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			c := newCable(t)
			node, us := c.node4, c.us4
			if family == "IPv6" {
				node, us = c.node6, c.us6
			}
			conf := strings.ReplaceAll(frrBasic, "$node4", node.String())
			conf = strings.Replace(conf, "timers connect 1", "timers connect 1\n neighbor "+node.String()+" password secret\n", 1)
			f := c.frr(conf)
			other := newCable(t)
			other.frr(frrBasic)
			e := newEngine(t)

			p, o := c.peer(nil), other.peer(routes("203.0.113.9/32"))
			p.Session.Address, p.Session.Password, p.Session.ConnectTime = us, "wrong", time.Second
			d := bgp.Desired{Peers: map[string]bgp.Peer{"r": p, "other": o}}
			e.becomes(d, bgp.ReasonPassword)
			p.Session.Password = ""
			d.Peers["r"] = p
			e.becomes(d, bgp.ReasonTimeout)
			p.Session.Password = "secret"
			d.Peers["r"] = p
			e.established(d)
			e.until(d, "the other peer is established", func(bgp.Status) bool {
				return e.apply(d).Peers["other"].State == bgp.Established
			})
			before := e.apply(d).Peers["other"].Since

			// Both ends get a new password; the other peer does not notice.
			if err := f.Configure(t.Context(), "router bgp 64513", "neighbor "+node.String()+" password rotated"); err != nil {
				t.Fatal(err)
			}
			p.Session.Password = "rotated"
			d.Peers["r"] = p
			e.until(d, "the session with the new password is established", func(s bgp.Status) bool {
				return s.State == bgp.Established && s.Flaps > 0
			})
			if got := e.apply(d).Peers["other"]; got.Since != before || got.State != bgp.Established {
				t.Errorf("the other peer's session has not run on: %+v", got)
			}
		})
	}
}

func TestTTLSecurity(t *testing.T) {
	c := newCable(t)
	c.frr(strings.Replace(frrBasic, "timers connect 1", "timers connect 1\n neighbor $node4 ttl-security hops 1\n", 1))
	e := newEngine(t)
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.HoldTime, p.Session.KeepaliveTime = 3*time.Second, time.Second
	// The router's kernel drops what comes with a TTL of 1, but may have taken the first words before FRR told it to.
	e.until(only(p), "the session fails", func(s bgp.Status) bool {
		return s.State == bgp.Connecting && slices.Contains([]bgp.Reason{
			bgp.ReasonTimeout, bgp.ReasonNoOpen, bgp.ReasonHoldTimer, bgp.ReasonStalled,
		}, s.Reason)
	})
	if k := c.kernel(); len(k) != 0 {
		t.Errorf("routes %v", k)
	}
	p.Session.SecurityHops = 1
	s := e.established(only(p))
	if s.Announced != 1 {
		t.Errorf("announced %d routes", s.Announced)
	}
}

// TestTTLSecurityHere: the router does not send with a TTL of 255, so nothing of it is taken.
func TestTTLSecurityHere(t *testing.T) {
	c := newCable(t)
	c.frr(frrBasic)
	p := c.peer(nil)
	p.Session.SecurityHops, p.Session.ConnectTime = 1, time.Second
	e := newEngine(t)
	e.until(only(p), "the session fails", func(s bgp.Status) bool {
		return s.State == bgp.Connecting && (s.Reason == bgp.ReasonTimeout || s.Reason == bgp.ReasonNoOpen)
	})
}

func TestWrongASN(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	p := c.peer(nil)
	p.Session.PeerASN = 64999
	if s := e.becomes(only(p), bgp.ReasonBadPeerAS); !strings.Contains(s.Message, "AS 64513, not in AS 64999") {
		t.Errorf("message %q", s.Message)
	}
	logs(t, f, "received", "Bad Peer AS")
	p.Session.PeerASN, p.Session.PeerType = 0, bgp.Internal
	if s := e.becomes(only(p), bgp.ReasonBadPeerAS); !strings.Contains(s.Message, "not in AS 64512, as this node is") {
		t.Errorf("message %q", s.Message)
	}
	p.Session.PeerType = bgp.External
	if s := e.established(only(p)); s.PeerASN != 64513 {
		t.Errorf("peer's ASN %d", s.PeerASN)
	}
	p.Session.LocalASN = 64998 // of which the router knows nothing
	if s := e.becomes(only(p), bgp.ReasonBadPeerAS); !strings.Contains(s.Message, "the router says") {
		t.Errorf("message %q", s.Message)
	}
}

// TestDynamicASN: a router of our own AS is taken for internal, and not for external.
func TestDynamicASN(t *testing.T) {
	c := newCable(t)
	c.frr(strings.Replace(frrBasic, "router bgp 64513", "router bgp 64512", 1))
	e := newEngine(t)
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.PeerASN, p.Session.PeerType = 0, bgp.External
	if s := e.becomes(only(p), bgp.ReasonBadPeerAS); !strings.Contains(s.Message, "not in an AS other than 64512") {
		t.Errorf("message %q", s.Message)
	}
	p.Session.PeerType = bgp.Internal
	if s := e.established(only(p)); s.PeerASN != 64512 {
		t.Errorf("peer's ASN %d", s.PeerASN)
	}
	c.has("203.0.113.7")
}

func TestNoRoute(t *testing.T) {
	c := newCable(t)
	p := c.peer(nil)
	p.Session.Address = netip.MustParseAddr("198.51.100.77")
	if s := newEngine(t).becomes(only(p), bgp.ReasonUnreachable); !strings.Contains(s.Message, "unreachable") {
		t.Errorf("message %q", s.Message)
	}
}

func TestMultihop(t *testing.T) {
	c, far := newCable(t), newCable(t)
	// The far router is two hops away, behind the first one.
	ip(t, "link", "del", far.dev)
	ip(t, "-n", c.ns, "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", far.ns)
	ip(t, "-n", c.ns, "addr", "add", far.node4.String()+"/24", "dev", "far")
	ip(t, "-n", c.ns, "link", "set", "far", "up")
	ip(t, "-n", far.ns, "addr", "add", far.us4.String()+"/24", "dev", "eth0")
	ip(t, "-n", far.ns, "link", "set", "eth0", "up")
	ip(t, "-n", far.ns, "route", "add", c.node4.String(), "via", far.node4.String())
	ip(t, "route", "add", far.us4.String(), "via", c.us4.String())
	conf := strings.Replace(frrBasic, "timers connect 1", "timers connect 1\n neighbor $node4 ebgp-multihop 3\n", 1)
	far.frr(c.expand(conf))

	p := c.peer(routes("203.0.113.7/32"))
	p.Session.Address, p.Session.ConnectTime = far.us4, time.Second
	e := newEngine(t)
	e.until(only(p), "a TTL of 1 does not get there", func(s bgp.Status) bool {
		return s.Reason == bgp.ReasonUnreachable || s.Reason == bgp.ReasonTimeout
	})
	p.Session.TTL = 2
	e.established(only(p))
	eventually(t, "the far router has the route", func() error {
		if k := far.kernel(); len(k) != 1 {
			return fmt.Errorf("routes %v", k)
		}
		return nil
	})
}

func TestRouterDials(t *testing.T) {
	c := newCable(t)
	c.frr(strings.Replace(frrBasic, "timers connect 1", "timers connect 1\n neighbor $node4 password secret\n neighbor $node4 ttl-security hops 1\n", 1))
	e := newEngine(t)
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.Listen, p.Session.SourceAddress, p.Session.Password, p.Session.SecurityHops = true, c.node4, "secret", 1
	if s := e.established(only(p)); s.Local.Port() != 179 {
		t.Errorf("the router did not dial: %s to %s", s.Local, s.Remote)
	}
	eventually(t, "the route is in the kernel", func() error {
		if got := c.via("203.0.113.7"); got != c.node4.String() {
			return fmt.Errorf("via %q", got)
		}
		return nil
	})
	p.Session.Password = "other"
	e.apply(only(p))
	e.until(only(p), "another password shuts the router out", func(s bgp.Status) bool { return s.State == bgp.Connecting })
	p.Session.Password = "secret"
	e.established(only(p))
}

func TestSource(t *testing.T) {
	c := newCable(t)
	second := c.us4.Next()
	ip(t, "addr", "add", second.String()+"/24", "dev", c.dev)
	c.frr(strings.ReplaceAll(frrBasic, "$node4", second.String()))
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.SourceAddress = second.Next()
	e := newEngine(t)
	e.becomes(only(p), bgp.ReasonSource)
	p.Session.SourceAddress, p.Session.SourceInterface = second, "nonesuch"
	e.becomes(only(p), bgp.ReasonSource)
	p.Session.SourceInterface = c.dev
	if s := e.established(only(p)); s.Local.Addr() != second {
		t.Errorf("local address %s", s.Local)
	}
	eventually(t, "the next hop is the source address", func() error {
		if got := c.via("203.0.113.7"); got != second.String() {
			return fmt.Errorf("via %q", got)
		}
		return nil
	})
}
