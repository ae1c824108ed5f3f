package speaker

import (
	"net/netip"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// probe has the nodes probed whose addresses this one would be among the first to take over.
func (p *passer) probe(should plan.Plan, roster []members.Member) {
	addrs := make(map[string]netip.Addr, len(roster))
	for _, m := range roster {
		addrs[m.Name] = m.Addr
	}
	targets := map[string]netip.AddrPort{}
	for _, owner := range liveness.TargetsOf(p.o.Node, should.Successors) {
		a, there := addrs[owner]
		if !there {
			a = p.last[owner]
		}
		if a.IsValid() && owner != p.o.Node {
			targets[owner] = netip.AddrPortFrom(a, p.o.LivenessPort)
			p.last[owner] = a
		}
	}
	p.detector.SetTargets(targets)
}
