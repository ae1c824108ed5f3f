//go:build linux

package bgp

import (
	"fmt"
	"testing"

	"github.com/belfry-lb/belfry/speaker/bgp"
)

const frrBasic = `
router bgp 64513
 bgp router-id 198.51.100.1
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 neighbor $node4 remote-as 64512
 neighbor $node4 timers connect 1
 address-family ipv6 unicast
  neighbor $node4 activate
 exit-address-family
`

func TestRoutesReachTheKernel(t *testing.T) {
	c := newCable(t)
	c.frr(frrBasic)
	e := newEngine(t)
	d := only(c.peer(routes("203.0.113.7/32", "203.0.113.64/26", "2001:db8::7/128")))
	s := e.established(d)
	t.Logf("%+v", s)
	if s.Announced != 3 || len(s.Withheld) != 0 {
		t.Errorf("announced %d routes, withheld %v", s.Announced, s.Withheld)
	}
	for dst, via := range map[string]string{
		"203.0.113.7": c.node4.String(), "203.0.113.64/26": c.node4.String(), "2001:db8::7": c.node6.String(),
	} {
		eventually(t, dst+" is in the router's kernel", func() error {
			if got := c.via(dst); got != via {
				return fmt.Errorf("via %q, want %q", got, via)
			}
			return nil
		})
	}
	e.apply(only(c.peer(routes("203.0.113.7/32"))))
	eventually(t, "what is no longer desired is gone", func() error {
		if k := c.kernel(); len(k) != 1 || c.via("203.0.113.7") == "" {
			return fmt.Errorf("routes %v", k)
		}
		return nil
	})
	e.apply(bgp.Desired{})
	eventually(t, "all is gone with the peer", func() error {
		if k := c.kernel(); len(k) != 0 {
			return fmt.Errorf("routes %v", k)
		}
		return nil
	})
}
