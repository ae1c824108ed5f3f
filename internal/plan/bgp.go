package plan

import (
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// BGPPlan is what one node should be telling routers.
type BGPPlan struct {
	// Peers are the routers that this node should speak to, by the name of their BGPPeer.
	Peers map[string]BGPPeer
	// Broken are those that it should speak to and cannot, and why.
	Broken map[string]spec.Problem
	// Claims are the addresses for which this node is the one that routers prefer, sorted. They are to be told to the others,
	// and are this node's in the next World.
	Claims []BGPClaim
	// Discard are the announced prefixes in which packets that nobody serves are to be refused, sorted.
	Discard []netip.Prefix
	// Withheld tells why addresses that some BGPAdvertisement selects are not announced by this node, in the order of the
	// Services.
	Withheld []Withheld
	// Problems are about BGPPeers that work all the same.
	Problems []spec.Problem
}

// BGPPeer is one router, how this node speaks to it, and what it tells it.
type BGPPeer struct {
	Session spec.Session
	BFD     *BFD // nil: the path is not watched
	Mode    Mode
	Reason  spec.Reason // why Mode is not Up
	// Routes may be shared with other peers, and must not be changed.
	Routes map[netip.Prefix]Route
}

// BFD is how the path to a router is watched.
type BFD struct {
	Profile spec.BFDProfile
	// MultiHop: the router is not on a link of this node's (RFC 5883).
	MultiHop bool
}

// Mode says whether a session should be there.
type Mode uint8

// The modes.
const (
	// Up: the session is there.
	Up Mode = iota
	// Draining: routes are told to be avoided (GRACEFUL_SHUTDOWN, RFC 8326), then withdrawn, then the session is closed.
	Draining
	// Down: there is none.
	Down
)

// String names the mode.
func (m Mode) String() string { return [...]string{"Up", "Draining", "Down"}[m] }

// Route is what is said of one prefix. What does not go with the kind of session is left out when it is sent: a local
// preference on eBGP, a prepended ASN on iBGP.
type Route struct {
	Communities spec.Communities
	LocalPref   spec.Number
	MED         spec.Number
	Prepend     int
	// Bandwidth of this node as a next hop, in bytes a second, for the link-bandwidth community; 0: none.
	Bandwidth              float32
	BandwidthNonTransitive bool
}

// BGPFacts is what a speaker tells of itself, for all to know.
type BGPFacts struct {
	// Established are the BGPPeers with which the node has a session, sorted.
	Established []string
	// Claims are the addresses for which routers prefer the node, by address.
	Claims []BGPClaim
}

// BGPClaim says that routers prefer a node for an address.
type BGPClaim struct {
	Addr  netip.Addr
	Epoch uint64 // one more than any known when it was made: of two claims the later one counts
}

// OwnBGP is what a node knows of its own sessions. Whoever plans for another node leaves it empty.
type OwnBGP struct {
	// Told are the prefixes that this node has announced already, to whomever. A node that may acquire nothing keeps them.
	Told map[netip.Prefix]bool
}

// Reasons for which an address is not announced with BGP.
const (
	// ReasonNoPeer: no BGPPeer of the node is told of the address, or none of its family.
	ReasonNoPeer spec.Reason = "NoPeer"
	// ReasonNoSession: no node that may announce the address has a session with a router that is to be told.
	ReasonNoSession spec.Reason = "NoSession"
	// ReasonNoAffinity: a Service's sessionAffinity: ClientIP does not hold, because only an aggregate is announced.
	ReasonNoAffinity spec.Reason = "AffinityNotKept"
)

// Reasons for which a session is not there, or less than was asked for.
const (
	// ReasonDuplicatePeer: an older BGPPeer is the same router from the same address.
	ReasonDuplicatePeer spec.Reason = "DuplicatePeer"
	// ReasonNoEcho: BFD has no echo function over several hops.
	ReasonNoEcho spec.Reason = "NoEcho"
)

// MakeBGP plans for one node. A node that is not in the World has nothing to say.
func MakeBGP(w World, node string) BGPPlan { return makeBGP(w, places(w.Services), node) }

// makeBGP plans for these Services instead of the World's.
func makeBGP(w World, services []*Service, node string) BGPPlan {
	p := BGPPlan{Peers: map[string]BGPPeer{}, Broken: map[string]spec.Problem{}}
	me := slices.IndexFunc(w.Nodes, func(n Node) bool { return n.Name == node })
	if me < 0 {
		return p
	}
	sessions := w.sessions(&p, w.Nodes[me])
	t := newTeller(w, services, me, sessions)
	t.tell()
	for _, s := range sessions {
		peer := BGPPeer{Session: s.session, BFD: s.bfd, Mode: s.mode, Reason: s.reason}
		if s.audience != nil {
			peer.Routes = s.audience.routes
		}
		p.Peers[s.peer.Name] = peer
	}
	p.Claims, p.Discard, p.Withheld = t.claims, t.discarded(), t.withheld
	return p
}
