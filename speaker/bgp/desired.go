package bgp

import (
	"net/netip"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// Desired is the whole of what this node should be saying, to whom. It replaces whatever was desired before.
type Desired struct {
	// Peers are keyed by a name of the caller's, which appears in logs and metrics.
	Peers map[string]Peer
}

// Peer is one router, how to speak to it, and what to tell it.
type Peer struct {
	Session Session
	Mode    Mode
	// Reason says why the mode is not Up. On Down the router's operator gets to read it (RFC 9003).
	Reason string
	// Failures counts how often the path to the router was seen to fail, by BFD for example. Whenever it has grown, a session
	// that is up ends at once with Cease, BFD Down (RFC 9384), and another is tried for. Failure says what was seen.
	Failures uint64
	Failure  string
	// Routes are keyed by masked prefixes.
	Routes map[netip.Prefix]Route
}

// Mode says whether a session should be there.
type Mode uint8

// The modes.
const (
	// Up: the session is kept up.
	Up Mode = iota
	// Draining: the session is kept up, every route with GRACEFUL_SHUTDOWN (RFC 8326), on iBGP also with local preference 0.
	Draining
	// Down: the routes are withdrawn, then the session is closed with an administrative shutdown.
	Down
	// Waiting is Down for a reason that may pass. Meanwhile the router of an Interface is looked for, and where it is goes
	// into Status.Remote: who waits for its sake needs to know.
	Waiting
)

// none tells whether there is to be no session.
func (m Mode) none() bool { return m == Down || m == Waiting }

// Session says how a router is reached and spoken to. A change of ConnectTime, HoldTime, KeepaliveTime or RestartTime counts
// from the next session on, one of NextHop4 or NextHop6 changes the routes; any other change begins a new session.
type Session struct {
	// LocalASN is this node's ASN towards this router.
	LocalASN uint32
	// PeerASN is the ASN that the router must have; 0 leaves it to PeerType.
	PeerASN  uint32
	PeerType PeerType
	// RouterID is this node's BGP identifier, an IPv4 address.
	RouterID netip.Addr

	// Address is the router's; a link-local one has its interface as zone.
	Address netip.Addr
	// Interface, in place of Address: the router is the one that advertises itself on this interface (RFC 4861), and there is
	// one only.
	Interface string
	// Port of the router; 0 is 179.
	Port uint16
	// Listen: the router dials this node, which then does not dial.
	Listen bool
	// SourceAddress is this end's address; where it is invalid, the kernel chooses. Listen needs it.
	SourceAddress netip.Addr
	// SourceInterface binds the connection to an interface, or to a VRF's device.
	SourceInterface string
	// Password signs the segments (TCP MD5, RFC 2385); empty means none.
	Password string
	// TTL of packets to a router of another AS; 0 means 1: it is a neighbour.
	TTL uint8
	// SecurityHops is the number of hops up to which the router is accepted (GTSM, RFC 5082); 0 turns the check off.
	SecurityHops uint8

	// HoldTime: a router that says nothing for so long is gone. At least 3 s; 0 means 90 s.
	HoldTime time.Duration
	// KeepaliveTime is the pause between signs of life; 0 means a third of the hold time.
	KeepaliveTime time.Duration
	// ConnectTime is the longest pause between attempts and the longest wait for a connection; 0 means 10 s.
	ConnectTime time.Duration

	// Families are announced where the router agrees; none means IPv4 and IPv6.
	Families wire.Family
	// NextHop4 and NextHop6 are the next hops of routes that name none; where one is invalid, it is this end's address.
	// NextHop4 may be an IPv6 address (RFC 8950).
	NextHop4, NextHop6 netip.Addr
	// GracefulRestart asks the router to keep the routes for RestartTime (0 means 30 s) when the connection is lost.
	GracefulRestart bool
	RestartTime     time.Duration
}

// PeerType says what ASN a router may have whose ASN is not given.
type PeerType uint8

// The peer types.
const (
	// External: any ASN but ours.
	External PeerType = iota
	// Internal: our ASN.
	Internal
)

// Route is what is said of one prefix. Its slices must not be changed after it is given to Apply.
type Route struct {
	// NextHop of this route; invalid means the session's.
	NextHop             netip.Addr
	Communities         []Community
	LargeCommunities    []LargeCommunity
	ExtendedCommunities []ExtendedCommunity
	// LocalPref is said on iBGP only, where 100 stands in for an unset one.
	LocalPref Value
	MED       Value
	// Prepend is how many times more than once our ASN is in the AS path; it counts on eBGP only.
	Prepend uint8
	// Bandwidth of this node as a next hop, in bytes per second, goes into a link-bandwidth community; 0 means none.
	Bandwidth float32
	// BandwidthNonTransitive makes that community one that routers do not pass on.
	BandwidthNonTransitive bool
}

// Value is a number that may be unset.
type Value struct {
	V   uint32
	Set bool
}

// Some returns a set value.
func Some(v uint32) Value { return Value{v, true} }

// Community is a standard community, RFC 1997: ASN in the upper half, value in the lower.
type Community uint32

// GracefulShutdown asks routers to prefer every other path (RFC 8326).
const GracefulShutdown Community = 65535 << 16

// LargeCommunity is one of RFC 8092: global administrator and two values.
type LargeCommunity [3]uint32

// ExtendedCommunity is one of RFC 4360 as it is on the wire.
type ExtendedCommunity [8]byte

func (r Route) equal(o Route) bool {
	return r.NextHop == o.NextHop && r.LocalPref == o.LocalPref && r.MED == o.MED && r.Prepend == o.Prepend &&
		r.Bandwidth == o.Bandwidth && r.BandwidthNonTransitive == o.BandwidthNonTransitive &&
		slices.Equal(r.Communities, o.Communities) && slices.Equal(r.LargeCommunities, o.LargeCommunities) &&
		slices.Equal(r.ExtendedCommunities, o.ExtendedCommunities)
}

// drained returns the route as it is said while its session is being drained.
func (r Route) drained() Route {
	if !slices.Contains(r.Communities, GracefulShutdown) {
		r.Communities = append(slices.Clone(r.Communities), GracefulShutdown)
	}
	r.LocalPref = Some(0)
	return r
}

// settings returns s with its defaults filled in.
func (s Session) settings() Session {
	set := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	set(&s.HoldTime, 90*time.Second)
	set(&s.KeepaliveTime, s.HoldTime/3)
	set(&s.ConnectTime, 10*time.Second)
	set(&s.RestartTime, 30*time.Second)
	if s.Port == 0 {
		s.Port = 179
	}
	if s.Families == 0 {
		s.Families = wire.IPv4 | wire.IPv6
	}
	return s
}

// binding returns what a running session cannot change: two sessions with the same binding can go on as one.
func (s Session) binding() Session {
	s.HoldTime, s.KeepaliveTime, s.ConnectTime, s.RestartTime = 0, 0, 0, 0
	if s.NextHop6 = (netip.Addr{}); !s.NextHop4.Is6() {
		s.NextHop4 = netip.Addr{}
	}
	return s // an IPv6 next hop for IPv4 stays: it is a matter for OPEN
}

// offer is the OPEN of this end, and what it asks of the router's. restarted: this process speaks to the router for the first time.
func (s Session) offer(restarted bool) wire.Offer {
	o := wire.Open{
		ASN: s.LocalASN, HoldTime: seconds(s.HoldTime), RouterID: s.RouterID, Families: s.Families,
		RouteRefresh: true, FourOctetASN: true, IPv4OverIPv6: s.Families.Has(wire.IPv4) && s.mayUseIPv6NextHop(),
	}
	if s.GracefulRestart {
		// This end forwards with or without a session, so F is always true.
		o.Graceful = wire.Graceful{
			Present: true, Restarting: restarted, Time: seconds(s.RestartTime), Families: s.Families, Forwarding: s.Families,
		}
	}
	return wire.Offer{Open: o, PeerASN: s.PeerASN, Internal: s.PeerType == Internal}
}

// mayUseIPv6NextHop: only then is RFC 8950 brought up; not every router takes kindly to what it does not know.
func (s Session) mayUseIPv6NextHop() bool {
	return s.Interface != "" || s.Address.Is6() || s.NextHop4.Is6()
}

func (s Session) internal() bool {
	return s.PeerASN == s.LocalASN || s.PeerASN == 0 && s.PeerType == Internal
}

func seconds(d time.Duration) uint16 { return uint16(min(max(d/time.Second, 0), 65535)) }
