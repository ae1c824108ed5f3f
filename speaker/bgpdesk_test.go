package speaker

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// fakeKernel has one default gateway, or none.
type fakeKernel struct {
	gateway, source netip.Addr
	changed         signal
}

func (k fakeKernel) Gateway(f spec.Family) (gateway, source netip.Addr, ok bool) {
	return k.gateway, k.source, k.gateway.IsValid() && spec.FamilyOf(k.gateway) == f
}
func (k fakeKernel) Changed() <-chan struct{}      { return k.changed }
func (k fakeKernel) Run(ctx context.Context) error { <-ctx.Done(); return nil }

var (
	routerAddr = netip.MustParseAddr("192.0.2.254")
	vipA       = netip.MustParsePrefix("203.0.113.7/32")
	vipB       = netip.MustParsePrefix("203.0.113.8/32")
)

func ebgp() spec.Session {
	return spec.Session{LocalASN: 64512, PeerASN: 64513, Address: routerAddr, Port: 179, TTL: 1, IPv4: true, HoldTime: 9 * time.Second}
}

func routesOf(all ...netip.Prefix) map[netip.Prefix]bgp.Route {
	m := map[netip.Prefix]bgp.Route{}
	for _, p := range all {
		m[p] = bgp.Route{}
	}
	return m
}

func wishOf(p peerWish) *bgpWish { return &bgpWish{peers: map[string]peerWish{"r": p}} }

// story is a desk with a clock of its own.
type story struct {
	t *testing.T
	*bgpDesk
	now      time.Time
	sessions bgp.Running
	watched  bfd.Running
}

func newStory(t *testing.T, kernel fakeKernel) *story {
	return &story{t: t, bgpDesk: newBGPDesk(500*time.Millisecond, 2*time.Second, kernel), now: time.Unix(1000, 0)}
}

func (s *story) after(d time.Duration, w *bgpWish) (bgp.Peer, orders) {
	s.now = s.now.Add(d)
	o := s.order(s.now, w, s.sessions, s.watched)
	return o.bgp.Peers["r"], o
}

func (s *story) routes(p bgp.Peer, want ...netip.Prefix) {
	s.t.Helper()
	if len(p.Routes) != len(want) {
		s.t.Errorf("routes %v, want %v", p.Routes, want)
	}
	for _, w := range want {
		if _, ok := p.Routes[w]; !ok {
			s.t.Errorf("routes %v lack %s", p.Routes, w)
		}
	}
}

func TestRoutesFade(t *testing.T) {
	s := newStory(t, fakeKernel{})
	full := wishOf(peerWish{session: ebgp(), routes: routesOf(vipA, vipB)})
	// The pods of A have left, B's Service has gone.
	left := wishOf(peerWish{session: ebgp()})
	left.fading = map[netip.Addr]bool{vipA.Addr(): true}
	p, o := s.after(0, full)
	s.routes(p, vipA, vipB)
	if !o.again.IsZero() {
		t.Errorf("wakes at %s for nothing", o.again)
	}
	p, o = s.after(time.Second, left)
	s.routes(p, vipA)
	if want := s.now.Add(500 * time.Millisecond); o.again != want {
		t.Errorf("wakes at %s, want %s", o.again, want)
	}
	p, _ = s.after(499*time.Millisecond, left) // asked again, it does not begin anew
	s.routes(p, vipA)
	p, o = s.after(time.Millisecond, left)
	s.routes(p)
	if !o.again.IsZero() {
		t.Error("wakes without end")
	}
	p, _ = s.after(time.Second, left)
	s.routes(p)
	p, _ = s.after(0, full) // a pod is back: at once
	s.routes(p, vipA, vipB)
	p, _ = s.after(0, left)
	s.routes(p, vipA)
	p, _ = s.after(0, full)
	s.routes(p, vipA, vipB)
	p, _ = s.after(499*time.Millisecond, left) // and this is another leave
	s.routes(p, vipA)
	p, _ = s.after(499*time.Millisecond, left)
	s.routes(p, vipA)
}

// TestAggregatesFade: with the last of their addresses, not with any other.
func TestAggregatesFade(t *testing.T) {
	s := newStory(t, fakeKernel{})
	aggregate := netip.MustParsePrefix("203.0.113.0/24")
	s.after(0, wishOf(peerWish{session: ebgp(), routes: routesOf(aggregate)}))
	left := wishOf(peerWish{session: ebgp()})
	left.fading = map[netip.Addr]bool{netip.MustParseAddr("198.51.100.1"): true}
	p, _ := s.after(0, left)
	s.routes(p)
	s.after(0, wishOf(peerWish{session: ebgp(), routes: routesOf(aggregate)}))
	left.fading[vipA.Addr()] = true
	p, _ = s.after(0, left)
	s.routes(p, aggregate)
}

func TestWhatNeverWasDoesNotFade(t *testing.T) {
	s := newStory(t, fakeKernel{})
	w := wishOf(peerWish{session: ebgp()})
	w.fading = map[netip.Addr]bool{vipA.Addr(): true}
	p, o := s.after(0, w)
	s.routes(p)
	if !o.again.IsZero() {
		t.Error("wakes for nothing")
	}
}

func TestDrain(t *testing.T) {
	s := newStory(t, fakeKernel{})
	here := &bgpWish{peers: map[string]peerWish{"r": {session: ebgp(), routes: routesOf(vipA)}}, refuse: []netip.Prefix{vipA}}
	leaving := wishOf(peerWish{session: ebgp()}) // the plan wants nothing of a node that is being drained
	leaving.leaving = "node n1 is being drained"
	s.after(0, here)
	p, o := s.after(0, leaving)
	s.routes(p, vipA)
	if p.Mode != bgp.Draining || o.again != s.now.Add(2*time.Second) {
		t.Errorf("mode %d, wakes at %s", p.Mode, o.again)
	}
	p, _ = s.after(1999*time.Millisecond, leaving)
	s.routes(p, vipA)
	if p.Mode != bgp.Draining {
		t.Errorf("mode %d", p.Mode)
	}
	p, o = s.after(time.Millisecond, leaving)
	if p.Mode != bgp.Down || p.Reason != leaving.leaving || len(o.refuse) != 0 || o.problems["r"] != (problem{reasonLeaving, leaving.leaving}) {
		t.Errorf("mode %d, reason %q, refused %v", p.Mode, p.Reason, o.refuse)
	}
	p, o = s.after(time.Hour, here) // it stays, after all
	s.routes(p, vipA)
	if p.Mode != bgp.Up || len(o.refuse) != 1 {
		t.Errorf("mode %d", p.Mode)
	}
}

func TestPasswords(t *testing.T) {
	s := newStory(t, fakeKernel{})
	missing := peerWish{session: ebgp(), password: secret{problem: "there is no Secret x"}}
	w := wishOf(missing)
	p, o := s.after(0, w)
	if p.Mode != bgp.Down || o.problems["r"] != (problem{reasonNoPassword, "there is no Secret x"}) {
		t.Errorf("mode %d, problems %v", p.Mode, o.problems)
	}
	w.leaving = "drained"
	if p, _ = s.after(0, w); p.Mode == bgp.Up || p.Mode == bgp.Draining {
		t.Error("a session without the password that it must have")
	}
	w = wishOf(peerWish{session: ebgp(), password: secret{value: "sesame"}})
	if p, _ = s.after(0, w); p.Mode != bgp.Up || p.Session.Password != "sesame" {
		t.Errorf("mode %d, password %q", p.Mode, p.Session.Password)
	}
}

func TestDefaultGateway(t *testing.T) {
	session := ebgp()
	session.Address, session.Gateway, session.IPv4 = netip.Addr{}, true, false
	p, o := newStory(t, fakeKernel{}).after(0, wishOf(peerWish{session: session}))
	if p.Mode != bgp.Down || o.problems["r"].reason != reasonNoGateway {
		t.Errorf("mode %d, problems %v", p.Mode, o.problems)
	}
	gateway := netip.MustParseAddr("fe80::1%eth0")
	p, _ = newStory(t, fakeKernel{gateway: gateway}).after(0, wishOf(peerWish{session: session}))
	if p.Mode != bgp.Up || p.Session.Address != gateway || p.Session.Families != wire.IPv6 {
		t.Errorf("mode %d, %+v", p.Mode, p.Session)
	}
	session.Listen = true
	source := netip.MustParseAddr("192.0.2.10")
	p, _ = newStory(t, fakeKernel{gateway: routerAddr, source: source}).after(0, wishOf(peerWish{session: session}))
	if p.Session.SourceAddress != source || p.Session.Address != routerAddr {
		t.Errorf("%+v", p.Session)
	}
}

func TestEngineSession(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*spec.Session)
		ok   func(bgp.Session) bool
	}{
		"a neighbour":           {func(*spec.Session) {}, func(s bgp.Session) bool { return s.TTL == 1 && s.SecurityHops == 0 }},
		"several hops":          {func(s *spec.Session) { s.TTL = 255 }, func(s bgp.Session) bool { return s.TTL == 255 }},
		"GTSM":                  {func(s *spec.Session) { s.SecurityHops = 2 }, func(s bgp.Session) bool { return s.TTL == 0 && s.SecurityHops == 2 }},
		"iBGP has no hop limit": {func(s *spec.Session) { s.PeerASN = s.LocalASN }, func(s bgp.Session) bool { return s.TTL == 0 }},
		"dynamic, internal": {func(s *spec.Session) { s.PeerASN, s.PeerType = 0, spec.Internal }, func(s bgp.Session) bool {
			return s.TTL == 0 && s.PeerASN == 0 && s.PeerType == bgp.Internal
		}},
		"a VRF": {func(s *spec.Session) { s.VRF = "red" }, func(s bgp.Session) bool { return s.SourceInterface == "red" }},
		"an interface in a VRF": {func(s *spec.Session) { s.VRF, s.SourceInterface = "red", "eth1" }, func(s bgp.Session) bool {
			return s.SourceInterface == "eth1"
		}},
		"unnumbered": {func(s *spec.Session) { s.Address, s.Interface = netip.Addr{}, "eth1" }, func(s bgp.Session) bool {
			return s.Interface == "eth1" && !s.Address.IsValid()
		}},
		"link-local": {func(s *spec.Session) { s.Address, s.Interface = netip.MustParseAddr("fe80::1%eth1"), "eth1" }, func(s bgp.Session) bool {
			return s.Interface == "" && s.Address.Zone() == "eth1"
		}},
		"both families": {func(s *spec.Session) { s.IPv6 = true }, func(s bgp.Session) bool { return s.Families == wire.IPv4|wire.IPv6 }},
	} {
		s := ebgp()
		tc.edit(&s)
		if got := engineSession(s, ""); !tc.ok(got) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
