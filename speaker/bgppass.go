package speaker

import (
	"context"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// bgpFacts is the part of a node's facts that is about BGP.
type bgpFacts struct {
	Established []string   `json:"established,omitempty"` // BGPPeers
	Claims      []bgpClaim `json:"claims,omitempty"`
}

type bgpClaim struct {
	Addr  netip.Addr `json:"addr"`
	Epoch uint64     `json:"epoch"`
}

func (f bgpFacts) plan() plan.BGPFacts {
	out := plan.BGPFacts{Established: f.Established}
	for _, c := range f.Claims {
		out.Claims = append(out.Claims, plan.BGPClaim(c))
	}
	return out
}

// ownBGPFacts are those that this node tells.
func (p *passer) ownBGPFacts() bgpFacts {
	f := bgpFacts{Established: p.routing.report().established()}
	for _, c := range p.bgp.Claims {
		f.Claims = append(f.Claims, bgpClaim(c))
	}
	return f
}

// planBGP plans what routers are told and hands the plan over. Layer 2 is none of its business.
func (p *passer) planBGP(ctx context.Context) {
	should := p.planner.BGP(plan.OwnBGP{Told: p.routing.report().told()}, p.ownBGPFacts().plan())
	p.routing.want(p.bgpWish(ctx, should))
	if !slices.Equal(should.Claims, p.bgp.Claims) {
		p.changed.raise() // the next pass tells the others
	}
	p.bgp = should
}

// lingersBGP tells whether routers may still be told of an address of the Service, by a prefix that is not wanted any more.
func (p *passer) lingersBGP(s spec.Service) bool {
	report := p.routing.report()
	return slices.ContainsFunc(s.Held, func(a netip.Addr) bool {
		return report.lingers(a, func(prefix netip.Prefix) bool {
			for _, peer := range p.bgp.Peers {
				if _, ok := peer.Routes[prefix]; ok {
					return true
				}
			}
			return false
		})
	})
}

// configBGP adds what is configured of BGP.
func (g gatherer) configBGP(ctx context.Context, o *spec.Objects) error {
	var peers v1beta1.BGPPeerList
	var advertisements v1beta1.BGPAdvertisementList
	var communities v1beta1.CommunityList
	var profiles v1beta1.BFDProfileList
	if err := g.list(ctx, &peers, &advertisements, &communities, &profiles); err != nil {
		return err
	}
	o.BGPPeers, o.BGPAdvertisements, o.Communities, o.BFDProfiles = peers.Items, advertisements.Items, communities.Items, profiles.Items
	return nil
}
