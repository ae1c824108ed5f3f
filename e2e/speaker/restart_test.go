package speaker

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestRestartWithOtherRoutes: while a speaker is gone without a word, a Service goes and another comes. The routers keep what
// stays without touching it, and drop what went as soon as the speaker has told them all (End-of-RIB): their own timers for
// stale routes are far longer than this test waits.
func TestRestartWithOtherRoutes(t *testing.T) {
	l := newScene(t)
	went, came := web.Next(), web.Next().Next()
	create(t, endpoints("went", went, "n1"))
	gone := service("went", went)
	create(t, gone)
	both := true
	patient := func(s *v1beta1.BGPPeerSpec) { s.DualStackAddressFamily, s.GracefulRestartTime = &both, seconds(300) }
	create(t, bgpPeer("r1", router1, gracefully, patient))
	create(t, bgpPeer("r2", router2, gracefully, patient))
	frr, bird := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	frr.frr(frrConfig([]string{node1}, "graceful-restart") + " address-family ipv6 unicast\n  neighbor " + node1 + " activate\n exit-address-family\n")
	bird.bird(birdConfig(router2, "", "graceful restart time 300; ipv6 { import all; export none; };", node1))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	graceful := func(p v1beta1.SpeakerPeer) bool { return established(p) && len(p.GracefulRestart) == 2 }
	n.says("r1", "routes are kept", graceful)
	n.says("r2", "routes are kept", graceful)
	seen := map[string]<-chan event{}
	routers := map[string]*gateway{"FRR": frr, "BIRD": bird}
	for name, r := range routers {
		r.has(host(web), node1)
		r.has(host(went), node1)
		seen[name] = r.watch()
	}
	_ = n.Stop(unix.SIGKILL)
	remove(t, gone)
	create(t, endpoints("came", came, "n1"))
	create(t, service("came", came))
	n.up()
	for name, r := range routers {
		r.has(host(came), node1)
		r.has(host(went))
		r.has(host(web), node1)
		for len(seen[name]) > 0 {
			if e := <-seen[name]; e.dst == host(web) {
				t.Errorf("%s touched the route that stays, gone %t", name, e.gone)
			}
		}
	}
}
