package speaker

import (
	"context"
	"net/netip"
	"reflect"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// bgpWish is what a pass wants said to routers. It is not changed once it has been handed over.
type bgpWish struct {
	// leaving says why this node hands its traffic over; empty while it does not.
	leaving string
	peers   map[string]peerWish
	// broken are the peers with which this node cannot speak, and why.
	broken map[string]problem
	// refuse are the prefixes whose unused addresses and ports are to be refused.
	refuse []netip.Prefix
	// fading are the addresses whose pods have left this node. Their routes are said a moment longer.
	fading map[netip.Addr]bool
}

// peerWish is one router.
type peerWish struct {
	session spec.Session
	// down says why there is to be no session; nil if there is.
	down     *problem
	password secret
	// bfd watches the path; nil: nothing does.
	bfd    *plan.BFD
	bfdKey secret
	routes map[netip.Prefix]bgp.Route
}

// secret is a password, or the reason why there is none though there should be one.
type secret struct {
	value   string
	problem string
}

type problem struct{ reason, message string }

// bgpWish adds to a plan what only this node may read.
func (p *passer) bgpWish(ctx context.Context, should plan.BGPPlan) *bgpWish {
	w := &bgpWish{
		peers: make(map[string]peerWish, len(should.Peers)), broken: map[string]problem{}, refuse: should.Discard, fading: map[netip.Addr]bool{},
	}
	shared := routeTables{}
	for name, peer := range should.Peers {
		one := peerWish{session: peer.Session, bfd: peer.BFD, routes: shared.of(peer.Routes)}
		one.password = secretOf(ctx, p.o.Client, p.o.Namespace, peer.Session.Secret)
		if peer.Session.Secret.Name == "" {
			one.password = secret{value: peer.Session.Password}
		}
		if peer.BFD != nil {
			one.bfdKey = secretOf(ctx, p.o.Client, p.o.Namespace, peer.BFD.Profile.Auth.Secret)
		}
		switch peer.Mode {
		case plan.Draining:
			w.leaving = "node " + p.o.Node + " hands its traffic over: " + string(peer.Reason)
		case plan.Down:
			one.down = &problem{string(peer.Reason), "no session is wanted: " + string(peer.Reason)}
		case plan.Up:
		}
		w.peers[name] = one
	}
	for name, why := range should.Broken {
		w.broken[name] = problem{string(why.Reason), why.Message}
	}
	for _, withheld := range should.Withheld {
		if withheld.Reason == plan.ReasonNoLocalEndpoint {
			w.fading[withheld.Addr] = true
		}
	}
	return w
}

// routeTables puts each table of routes into the engine's words once: peers that are told the same share it.
type routeTables map[uintptr]map[netip.Prefix]bgp.Route

func (t routeTables) of(routes map[netip.Prefix]plan.Route) map[netip.Prefix]bgp.Route {
	key := reflect.ValueOf(routes).Pointer()
	if done, ok := t[key]; ok {
		return done
	}
	all := make(map[netip.Prefix]bgp.Route, len(routes))
	for prefix, r := range routes {
		all[prefix] = engineRoute(r)
	}
	t[key] = all
	return all
}

func engineRoute(r plan.Route) bgp.Route {
	out := bgp.Route{
		LocalPref: bgp.Value(r.LocalPref), MED: bgp.Value(r.MED), Prepend: uint8(min(r.Prepend, 255)),
		Bandwidth: r.Bandwidth, BandwidthNonTransitive: r.BandwidthNonTransitive,
	}
	for _, c := range r.Communities.Standard {
		out.Communities = append(out.Communities, bgp.Community(c))
	}
	for _, c := range r.Communities.Large {
		out.LargeCommunities = append(out.LargeCommunities, bgp.LargeCommunity(c))
	}
	for _, c := range r.Communities.Extended {
		out.ExtendedCommunities = append(out.ExtendedCommunities, bgp.ExtendedCommunity(c))
	}
	return out
}
