package spec

import (
	"cmp"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Peer is a router and how nodes speak to it, as far as that is the same on all of them. On makes a Session of it.
type Peer struct {
	Name    string
	Created time.Time
	Labels  labels.Set
	Nodes   []labels.Selector // one that matches is enough; empty: all

	myASN, localASN uint32
	session         Session // what holds on every node
	from            perNode
}

// perNode is where each node's own values are found; an empty key means that the value is the same everywhere.
type perNode struct{ myASN, localASN, peerASN, peerAddress, sourceAddress nodeKey }

// nodeKey is the key of a label or annotation of Nodes.
type nodeKey struct {
	key        string
	annotation bool
}

// SelectsNode tells whether a node with these labels speaks to the router.
func (p Peer) SelectsNode(l labels.Set) bool { return len(p.Nodes) == 0 || anyMatches(p.Nodes, l) }

// Older orders peers by age, those of the same age by name.
func (p Peer) Older(o Peer) int {
	return cmp.Or(p.Created.Compare(o.Created), cmp.Compare(p.Name, o.Name))
}

// ASNType says what ASN a router may have whose ASN is not given.
type ASNType uint8

// The types.
const (
	External ASNType = iota // any but ours
	Internal                // ours
)

// SecretRef names a Secret; an empty namespace is Belfry's own, and no other is allowed.
type SecretRef struct{ Namespace, Name string }

// Session is how one node speaks to a router. Everything has its default, but for what only the node's own kernel knows: the
// address where Gateway is set, and families that depend on it.
type Session struct {
	LocalASN uint32
	PeerASN  uint32  // 0: see PeerType
	PeerType ASNType // what counts where PeerASN is 0
	RouterID netip.Addr

	Address   netip.Addr // of the router; a link-local one has its interface as zone
	Interface string     // in place of Address: the router is the one that advertises itself here
	Gateway   bool       // in place of both: the default gateway; see Discovered
	Port      uint16
	Listen    bool // the router dials; SourceAddress is set then, unless Gateway is

	SourceAddress   netip.Addr // invalid: the kernel chooses
	SourceInterface string
	VRF             string

	Password string
	Secret   SecretRef // in place of Password; with an empty name there is none

	TTL          uint8 // of packets to a router of another AS; 1 is a neighbour
	SecurityHops uint8 // 0: no GTSM

	HoldTime, KeepaliveTime, ConnectTime time.Duration

	GracefulRestart bool
	RestartTime     time.Duration

	IPv4, IPv6 bool // families to announce; neither: those of the router's address, which is not known yet
	NextHop4   netip.Addr
	NextHop6   netip.Addr

	BFDProfile string // empty: none
	BFDStrict  bool
}

// IBGP tells whether the router is of this node's AS.
func (s Session) IBGP() bool {
	return s.PeerASN == s.LocalASN || s.PeerASN == 0 && s.PeerType == Internal
}

// Carries tells whether routes of the family are announced. Before a gateway is discovered, the answer may be no for both.
func (s Session) Carries(f Family) bool { return f == IPv4 && s.IPv4 || f == IPv6 && s.IPv6 }

// GatewayFamilies returns the families in which to look for the default gateway, the first one first.
func (s Session) GatewayFamilies() []Family {
	switch {
	case s.SourceAddress.IsValid():
		return []Family{FamilyOf(s.SourceAddress)}
	case s.IPv4 != s.IPv6:
		if s.IPv6 {
			return []Family{IPv6}
		}
		return []Family{IPv4}
	}
	return []Family{IPv4, IPv6}
}

// Discovered returns the session with the gateway that was found: a link-local one has its interface as zone.
func (s Session) Discovered(gateway netip.Addr) Session {
	s.Address, s.Gateway = gateway, false
	return s.withFamilies()
}

// withFamilies fills in the families of a session that has none: those of the router's address, and both on a session that
// has an interface instead.
func (s Session) withFamilies() Session {
	switch {
	case s.IPv4 || s.IPv6 || s.Gateway:
	case !s.Address.IsValid():
		s.IPv4, s.IPv6 = true, true
	default:
		s.IPv4, s.IPv6 = s.Address.Is4(), s.Address.Is6()
	}
	return s
}
