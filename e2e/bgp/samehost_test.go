//go:build linux

package bgp

import (
	"fmt"
	"os"
	"testing"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// sameHost is the heading under which the docs have daemons on a node of Belfry's.
const sameHost = "A router on the same host"

// TestSameHost: a daemon on the node itself hears of the routes and passes them on to the network's router, as the docs have
// it. Nothing of them goes into the node's own kernel.
func TestSameHost(t *testing.T) {
	found := 0
	for _, b := range blocks(t) {
		if b.heading != sameHost {
			continue
		}
		found++
		t.Run(b.daemon, func(t *testing.T) {
			c := newCable(t)
			c.asInTheDocs()
			c.frr(`
router bgp 64501
 bgp router-id 192.168.1.1
 no bgp ebgp-requires-policy
 neighbor 192.168.1.11 remote-as 64502
 neighbor 192.168.1.11 timers connect 1
`)
			onNode(t, c, b)
			p := c.peer(routes("203.0.113.10/32"))
			p.Session.LocalASN, p.Session.PeerASN, p.Session.Address, p.Session.NextHop4 = 64500, 64502, docNodes[0], docRouter
			e := newEngine(t)
			e.established(only(p))
			eventually(t, "the network's router reaches it by way of the node", func() error {
				if via := c.via("203.0.113.10"); via != docNodes[0].String() {
					return fmt.Errorf("via %q, of %v", via, c.kernel())
				}
				return nil
			})
			if here := ip(t, "route", "show", "203.0.113.10/32"); here != "" {
				t.Errorf("the node's own kernel has %s", here)
			}
			e.apply(bgp.Desired{})
			c.hasNot("203.0.113.10")
		})
	}
	if found != 2 {
		t.Errorf("%d configurations were found", found)
	}
}

// onNode runs a configuration in the namespace of the node itself.
func onNode(t *testing.T, c *cable, b block) {
	t.Helper()
	at := router.Place{Packages: os.Getenv(packagesEnv), Dir: c.dir()}
	switch b.daemon {
	case "frr":
		f, err := router.StartFRR(t.Context(), at, b.conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Kill)
	case "bird":
		bird, err := router.StartBIRD(t.Context(), at, b.conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bird.Kill)
	}
}
