//go:build linux

package bgp

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp"
)

// TestTenThousandRoutes announces many routes at once, to two routers with sessions up, and logs how long it takes until
// they are in the kernels, and takes them back. A message that is longer than it may be would end the sessions: FRR answers
// it with a NOTIFICATION.
func TestTenThousandRoutes(t *testing.T) {
	const n = 10_000
	a, b := newCable(t), newCable(t)
	a.frr(frrBasic)
	b.frr(frrBasic)
	e := newEngine(t)
	d := bgp.Desired{Peers: map[string]bgp.Peer{"r": a.peer(nil), "b": b.peer(nil)}}
	e.until(d, "both sessions are up", func(s bgp.Status) bool {
		return s.State == bgp.Established && e.apply(d).Peers["b"].State == bgp.Established
	})
	all := map[netip.Prefix]bgp.Route{}
	for i := range n {
		all[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}), 32)] = bgp.Route{}
	}
	began := time.Now()
	d = bgp.Desired{Peers: map[string]bgp.Peer{"r": a.peer(all), "b": b.peer(all)}}
	e.apply(d)
	applied := time.Since(began)
	for _, c := range []*cable{a, b} {
		eventually(t, "the router has all routes in its kernel", func() error {
			if got := strings.Count(ip(t, "-n", c.ns, "-4", "route", "show", "proto", "bgp"), "\n"); got != n {
				return fmt.Errorf("%d routes", got)
			}
			return nil
		})
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d routes to two routers: Apply %s, in both kernels after %s; heap %d MB", n, applied, time.Since(began), m.HeapAlloc>>20)
	d = bgp.Desired{Peers: map[string]bgp.Peer{"r": a.peer(nil), "b": b.peer(nil)}}
	e.apply(d)
	for _, c := range []*cable{a, b} {
		eventually(t, "the router has none of them", func() error {
			if got := strings.Count(ip(t, "-n", c.ns, "-4", "route", "show", "proto", "bgp"), "\n"); got != 0 {
				return fmt.Errorf("%d routes", got)
			}
			return nil
		})
	}
	for name, s := range e.apply(d).Peers {
		if s.State != bgp.Established || s.Flaps != 0 {
			t.Errorf("the session with %s is %+v", name, s)
		}
	}
}

// TestOneRoute logs how long one route among a thousand takes into the router's kernel.
func TestOneRoute(t *testing.T) {
	c := newCable(t)
	c.frr(frrBasic)
	e := newEngine(t)
	all := map[netip.Prefix]bgp.Route{}
	for i := range 1000 {
		all[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}), 32)] = bgp.Route{}
	}
	e.established(only(c.peer(all)))
	c.has("10.200.3.1")
	for i := range 5 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 201, 0, byte(i)}), 32)
		all[p] = bgp.Route{}
		began := time.Now()
		e.apply(only(c.peer(all)))
		applied := time.Since(began)
		eventually(t, "the route is in the kernel", func() error {
			if ip(t, "-n", c.ns, "-4", "route", "show", p.String()) == "" {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		t.Logf("Apply %s, in the kernel after at most %s", applied, time.Since(began))
	}
}
