package speaker

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestLinkCut: with a hold time of 90 s, only BFD can tell either end that the cable is cut.
func TestLinkCut(t *testing.T) {
	l := newScene(t)
	create(t, bfdProfile("fast", 300, 4))
	create(t, bgpPeer("r1", router1, withBFD))
	create(t, bgpPeer("r2", router2, withBFD))
	frr, bird := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	frr.frr(frrBFD(300, 4) + frrConfig([]string{node1}, frrWatched(router1)...))
	bird.bird(birdConfig(router2, birdTimers(300, 4), "bfd on;", node1))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	frr.watches(node1)
	for _, r := range []*gateway{frr, bird} {
		r.has(host(web), node1)
	}
	for _, r := range []string{"r1", "r2"} {
		n.says(r, "it is watched as the profile tells", func(p v1beta1.SpeakerPeer) bool { // a new session begins slowly
			return watched(p) && p.BFD.TransmitInterval == 300 && p.BFD.DetectionTime == 1200 && p.BFD.Ups > 0 && p.BFD.Since != nil
		})
		n.counts(`belfry_bgp_session_up{peer="`+r+`"}`, 1)
		n.counts(`belfry_bfd_session_up{peer="`+r+`"}`, 1)
		n.counts(`belfry_bfd_detection_time_seconds{peer="`+r+`"}`, 1.2)
	}
	l.Down("n1")
	for _, r := range []*gateway{frr, bird} {
		r.has(host(web))
	}
	for _, r := range []string{"r1", "r2"} {
		n.says(r, "the path failed", func(p v1beta1.SpeakerPeer) bool {
			return p.State == v1beta1.SessionConnecting && p.BFD.State == "Down" && p.BFD.Downs > 0 &&
				p.BFD.Diagnostic == "control detection time expired" && strings.Contains(p.Message, "BFD: detection time expired after 1.2s")
		})
		if n.metric(`belfry_bfd_session_up{peer="`+r+`"}`) != 0 || n.metric(`belfry_bfd_session_downs_total{peer="`+r+`"}`) == 0 {
			t.Errorf("the metrics do not say so of %s", r)
		}
	}
	l.Up("n1")
	for _, r := range []*gateway{frr, bird} {
		r.has(host(web), node1)
	}
	n.says("r1", "it is watched again", watched)
	n.says("r2", "it is watched again", watched)
}

// TestPlannedRestart: routers that take the end of BFD together with that of the program for a restart (RFC 5882 §4.3) do
// not touch the route.
func TestPlannedRestart(t *testing.T) {
	l := newScene(t)
	create(t, bfdProfile("fast", 300, 4))
	create(t, bgpPeer("r1", router1, withBFD, gracefully))
	create(t, bgpPeer("r2", router2, withBFD, gracefully))
	frr, bird := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	frr.frr(frrBFD(300, 4) + frrConfig([]string{node1}, frrWatched(router1, "bfd check-control-plane-failure", "graceful-restart")...))
	bird.bird(birdConfig(router2, birdTimers(300, 4), "bfd graceful;", node1))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	frr.watches(node1)
	routers := map[string]*gateway{"FRR": frr, "BIRD": bird}
	for _, r := range routers {
		r.has(host(web), node1)
	}
	ready := func(p v1beta1.SpeakerPeer) bool { return watched(p) && len(p.GracefulRestart) == 1 }
	n.says("r1", "it is watched", ready)
	n.says("r2", "it is watched", ready)
	for _, how := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		seen := map[string]<-chan event{}
		for name, r := range routers {
			seen[name] = r.watch()
		}
		if err := n.Stop(how); how == unix.SIGTERM && err != nil {
			t.Errorf("the speaker ended with %v", err)
		}
		n.up()
		mark := web.Next()
		if how == unix.SIGKILL {
			mark = mark.Next()
		}
		create(t, endpoints("mark-"+mark.String()[10:], mark, "n1"))
		create(t, service("mark-"+mark.String()[10:], mark))
		for name, events := range seen {
			for e := next(t, events); e.dst != host(mark); e = next(t, events) {
				if e.dst == host(web) {
					t.Errorf("%s, %v: the route was touched, gone %t", name, how, e.gone)
				}
			}
		}
		n.says("r1", "it is watched again", ready)
		n.says("r2", "it is watched again", ready)
	}
}

// TestStrictUnnumbered: the router is found by its advertisements alone, and there is no session before BFD is up.
func TestStrictUnnumbered(t *testing.T) {
	l := newScene(t)
	create(t, bfdProfile("fast", 300, 4))
	strict := true
	create(t, bgpPeer("r1", "", withBFD, func(s *v1beta1.BGPPeerSpec) {
		s.Interface, s.BFDStrict, s.PeerASN, s.DynamicASN = "eth0", &strict, 0, v1beta1.DynamicASNExternal
	}))
	r := newGateway(t, l, "r1", router1+"/24")
	n := newNode(t, l, "n1", node1+"/24")
	frr := r.frr(frrBFD(300, 4) + `router bgp 64513
 no bgp ebgp-requires-policy
 neighbor eth0 interface remote-as external
 neighbor eth0 timers connect 1
`)
	n.up()
	n.says("r1", "it waits for BFD", func(p v1beta1.SpeakerPeer) bool {
		return p.State == v1beta1.SessionIdle && p.Reason == "WaitingForBFD" && p.BFD != nil && p.BFD.State == "Down"
	})
	if attempts := n.metric(`belfry_bgp_session_attempts_total{peer="r1"}`); attempts != 0 {
		t.Errorf("%v attempts at a session while BFD is down", attempts)
	}
	must(t, frr.Configure(t.Context(), "bfd", "peer "+linkLocal(n.Host, "eth0").String()+" interface eth0", "profile fast"))
	p := n.says("r1", "it is watched", watched)
	if !strings.Contains(p.Remote, "fe80::") {
		t.Errorf("the session is with %s", p.Remote)
	}
	eventually(t, "the route over the node's link-local address", func() error {
		return wantOne(r.paths(host(web)), "169.254.0.1", linkLocal(n.Host, "eth0").String())
	})
	must(t, frr.FreezeBFD(t.Context()))
	n.says("r1", "it waits for BFD again", func(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionIdle && p.Reason == "WaitingForBFD" })
	r.has(host(web))
	must(t, frr.ThawBFD(t.Context()))
	n.says("r1", "it is watched again", watched)
}
