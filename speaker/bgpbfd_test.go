package speaker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

var fast = &plan.BFD{Profile: spec.BFDProfile{Name: "fast", Receive: 300 * time.Millisecond, Transmit: 300 * time.Millisecond, Multiplier: 3, MinTTL: 254}}

func (s *story) bfdIs(path bfd.Path, state bfd.Status) {
	s.watched = bfd.Running{Sessions: map[bfd.Path]bfd.Status{path: state}}
}

// TestFailuresEndSessionsOnce: each failure of a path counts once, those that an administrator caused do not.
func TestFailuresEndSessionsOnce(t *testing.T) {
	s := newStory(t, fakeKernel{})
	w := wishOf(peerWish{session: ebgp(), bfd: fast})
	p, o := s.after(0, w)
	path := bfd.Path{Peer: routerAddr}
	if o.paths["r"] != path || o.bfd.Sessions[path].Multiplier != 3 || p.Failures != 0 || p.Mode != bgp.Up {
		t.Fatalf("%+v, %+v", o.paths, p)
	}
	gone := bfd.Status{State: bfd.Down, RemoteState: bfd.Down, Cause: bfd.CauseDetectionExpired, Silence: 900 * time.Millisecond, Downs: 1}
	for _, step := range []struct {
		name     string
		state    bfd.Status
		failures uint64
		why      string
	}{
		{"up", bfd.Status{State: bfd.Up}, 0, ""},
		{"silent", gone, 1, "BFD: detection time expired after 900ms"},
		{"still silent", gone, 1, "BFD: detection time expired after 900ms"},
		{"up again", bfd.Status{State: bfd.Up, Downs: 1}, 1, "BFD: detection time expired after 900ms"},
		{"taken down over there", bfd.Status{State: bfd.Down, Cause: bfd.CauseNeighborAdminDown, RemoteState: bfd.AdminDown, Downs: 2}, 1, "BFD: detection time expired after 900ms"},
		{"down and up unseen", bfd.Status{State: bfd.Up, Downs: 3}, 2, "BFD: the path failed for a moment"},
	} {
		s.bfdIs(path, step.state)
		p, _ = s.after(time.Second, w)
		if p.Failures != step.failures || p.Failure != step.why || p.Mode != bgp.Up {
			t.Errorf("%s: %d failures, %q, mode %d", step.name, p.Failures, p.Failure, p.Mode)
		}
	}
	// Another path: what BFD has seen of it before counts for nothing.
	session := ebgp()
	session.SourceAddress = netip.MustParseAddr("192.0.2.10")
	s.bfdIs(bfd.Path{Peer: routerAddr, Local: session.SourceAddress}, bfd.Status{State: bfd.Up, Downs: 7})
	if p, _ = s.after(0, wishOf(peerWish{session: session, bfd: fast})); p.Failures != 2 {
		t.Errorf("%d failures", p.Failures)
	}
}

func TestStrictBFD(t *testing.T) {
	session := ebgp()
	session.BFDProfile, session.BFDStrict = "fast", true
	path := bfd.Path{Peer: routerAddr}
	s := newStory(t, fakeKernel{})
	expect := func(name string, w *bgpWish, mode bgp.Mode, message string) {
		t.Helper()
		p, o := s.after(0, w)
		if p.Mode != mode || o.problems["r"].message != message {
			t.Errorf("%s: mode %d, %+v", name, p.Mode, o.problems["r"])
		}
	}
	w := wishOf(peerWish{session: session, bfd: fast})
	expect("no profile", wishOf(peerWish{session: session}), bgp.Waiting, "BFD: there is no BFDProfile fast that can be used")
	expect("no key", wishOf(peerWish{session: session, bfd: fast, bfdKey: secret{problem: "there is no Secret k"}}), bgp.Waiting, "BFD: there is no Secret k")
	expect("not yet", w, bgp.Waiting, "BFD: not up yet")
	s.bfdIs(path, bfd.Status{State: bfd.Up})
	expect("up", w, bgp.Up, "")
	s.bfdIs(path, bfd.Status{State: bfd.Down, Cause: bfd.CauseDetectionExpired, Silence: time.Second, Downs: 1})
	expect("down", w, bgp.Waiting, "BFD: detection time expired after 1s")

	// Unnumbered, the engine finds the router meanwhile.
	numbered := session
	session.Address, session.Interface = netip.Addr{}, "eth1"
	s = newStory(t, fakeKernel{})
	w = wishOf(peerWish{session: session, bfd: fast})
	expect("unnumbered", w, bgp.Waiting, "BFD: the router has not been found yet")
	found := netip.MustParseAddr("fe80::7%eth1")
	s.sessions = bgp.Running{Peers: map[string]bgp.Status{"r": {Remote: netip.AddrPortFrom(found, 179)}}}
	expect("found", w, bgp.Waiting, "BFD: not up yet")
	s.bfdIs(bfd.Path{Peer: found}, bfd.Status{State: bfd.Up})
	expect("found and up", w, bgp.Up, "")
	s.sessions = bgp.Running{}
	expect("between two sessions", w, bgp.Up, "")
	session = numbered

	// Without the field, BFD holds nothing back.
	session.BFDStrict = false
	expect("not strict", wishOf(peerWish{session: session, bfd: fast}), bgp.Up, "")
	expect("not strict, no profile", wishOf(peerWish{session: session}), bgp.Up, "")
}

func TestWatchedPath(t *testing.T) {
	local := netip.MustParseAddr("192.0.2.10")
	unnumbered := func(s *spec.Session) { s.Address, s.Interface = netip.Addr{}, "eth1" }
	for _, tc := range []struct {
		name     string
		edit     func(*spec.Session)
		multiHop bool
		remote   netip.Addr
		want     bfd.Path
	}{
		{"a neighbour", func(*spec.Session) {}, false, netip.Addr{}, bfd.Path{Peer: routerAddr}},
		{"over several hops", func(s *spec.Session) { s.SourceAddress = local }, true, netip.Addr{}, bfd.Path{Peer: routerAddr, Local: local, MultiHop: true}},
		{"source interface", func(s *spec.Session) { s.SourceInterface = "eth1" }, false, netip.Addr{}, bfd.Path{Peer: routerAddr, Interface: "eth1"}},
		{"source interface, several hops", func(s *spec.Session) { s.SourceInterface = "eth1" }, true, netip.Addr{}, bfd.Path{Peer: routerAddr, MultiHop: true}},
		{"VRF", func(s *spec.Session) { s.VRF = "red" }, false, netip.Addr{}, bfd.Path{Peer: routerAddr, VRF: "red"}},
		{"unnumbered, unknown", unnumbered, false, netip.Addr{}, bfd.Path{}},
		{"unnumbered", unnumbered, false, netip.MustParseAddr("fe80::7"), bfd.Path{Peer: netip.MustParseAddr("fe80::7%eth1")}},
	} {
		s := ebgp()
		tc.edit(&s)
		got, ok := watchedPath(s, tc.remote, tc.multiHop)
		if ok != (tc.want != bfd.Path{}) || ok && got != tc.want {
			t.Errorf("%s: %+v, %t", tc.name, got, ok)
		}
	}
}
