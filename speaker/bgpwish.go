package speaker

import (
	"net/netip"

	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// bgpWish is what a pass wants said to routers. It is not changed once it has been handed over.
type bgpWish struct {
	// leaving says why this node hands its traffic over; empty while it does not.
	leaving string
	peers   map[string]peerWish
	// refuse are the prefixes whose unused addresses and ports are to be refused.
	refuse []netip.Prefix
}

// peerWish is one router.
type peerWish struct {
	session  spec.Session
	password secret
	// profile watches the path; nil: nothing does.
	profile *spec.BFDProfile
	bfdKey  secret
	routes  map[netip.Prefix]bgp.Route
	// fading are the prefixes, none of routes, whose pods have left this node. They are said a moment longer.
	fading map[netip.Prefix]bool
}

// secret is a password, or the reason why there is none though there should be one.
type secret struct {
	value   string
	problem string
}
