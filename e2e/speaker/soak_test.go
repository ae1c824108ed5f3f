//go:build soak

package speaker

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bfd"
)

var tries = flag.Int("speaker.tries", 20, "how often the series of BFD do what they measure")

// figures are measured times, or parts of a time.
type figures []float64

func (f figures) String() string {
	s := slices.Sorted(slices.Values(f))
	at := func(percent int) float64 { return s[min(len(s)-1, len(s)*percent/100)] }
	return fmt.Sprintf("min %.2f, median %.2f, p95 %.2f, p99 %.2f, max %.2f of %d", s[0], at(50), at(95), at(99), s[len(s)-1], len(s))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// duel is a node and two routers whose BFD is as fast as it is meant to be: 50 ms × 3.
func duel(t *testing.T) (l nettest.LAN, n *node, routers map[string]*gateway, frr *router.FRR, bird *router.BIRD) {
	t.Helper()
	l = newScene(t)
	create(t, bfdProfile("fast", 50, 3))
	create(t, bgpPeer("frr", router1, withBFD))
	create(t, bgpPeer("bird", router2, withBFD))
	routers = map[string]*gateway{"frr": newGateway(t, l, "r1", router1+"/24"), "bird": newGateway(t, l, "r2", router2+"/24")}
	frr = routers["frr"].frr(frrBFD(50, 3) + frrConfig([]string{node1}, frrWatched(router1)...))
	bird = routers["bird"].bird(birdConfig(router2, birdTimers(50, 3), "bfd on;", node1))
	n = newNode(t, l, "n1", node1+"/24")
	n.up()
	return l, n, routers, frr, bird
}

func (n *node) settled(routers map[string]*gateway) {
	n.t.Helper()
	for name, r := range routers {
		n.says(name, "it is watched", watched)
		r.has(host(web), node1)
	}
}

// TestSoakLinkCut prints how long after a cut the route is gone from the routers' kernels.
func TestSoakLinkCut(t *testing.T) {
	l, n, routers, _, _ := duel(t)
	took, seen := map[string]figures{}, map[string]<-chan event{}
	for name, r := range routers {
		seen[name] = r.watch()
	}
	for range *tries {
		n.settled(routers)
		for _, events := range seen {
			forget(events)
		}
		cut := time.Now()
		l.Down("n1")
		for name, events := range seen {
			took[name] = append(took[name], milliseconds(await(t, events, host(web), true).at.Sub(cut)))
		}
		l.Up("n1")
	}
	for name, f := range took {
		t.Logf("50 ms × 3, cable cut until the route is gone from the kernel of %s, in ms: %s", name, f)
	}
}

// TestSoakSilentRouter prints how long after a router's last packet this end says that it is gone, as a part of the detection time.
func TestSoakSilentRouter(t *testing.T) {
	_, n, routers, frr, bird := duel(t)
	freeze := map[string]func(bool) error{
		"frr": func(yes bool) error {
			if yes {
				return frr.FreezeBFD(t.Context())
			}
			return frr.ThawBFD(t.Context())
		},
		"bird": func(yes bool) error {
			if yes {
				return bird.Freeze()
			}
			return bird.Thaw()
		},
	}
	const detection = 150 * time.Millisecond
	for name, stop := range freeze {
		heard, node := routers[name].overhear(), addr(node1)
		var parts figures
		for range *tries {
			n.settled(routers)
			forget(heard)
			last := spoken(t, heard, node)
			must(t, stop(true))
			parts = append(parts, float64(silence(t, heard, node, last))/float64(detection))
			must(t, stop(false))
		}
		t.Logf("50 ms × 3, last packet of %s until this end says that it is gone, in detection times: %s", name, parts)
	}
}

// forget drops what has been seen so far.
func forget[T any](seen <-chan T) {
	for len(seen) > 0 {
		<-seen
	}
}

// spoken waits for a packet of the other end and returns its time.
func spoken(t *testing.T, heard <-chan packet, node netip.Addr) time.Time {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case p := <-heard:
			if p.from != node {
				return p.at
			}
		case <-timeout.C:
			t.Fatal("nobody speaks")
		}
	}
}

// silence is how long after the last packet of the other end, of which none is older than last, the node says that it is gone.
func silence(t *testing.T, heard <-chan packet, node netip.Addr, last time.Time) time.Duration {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case p := <-heard:
			switch {
			case p.from != node:
				last = p.at
			case p.State == bfd.Down && p.Diag == bfd.DiagDetectionExpired:
				return p.at.Sub(last)
			}
		case <-timeout.C:
			t.Fatal("nobody notices")
		}
	}
}
