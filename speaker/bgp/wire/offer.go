package wire

import "encoding/binary"

// LeastHoldTime is the shortest hold time that is agreed to, in seconds (section 4.2). Zero, which RFC 4271 allows, would
// leave a dead router unnoticed for ever.
const LeastHoldTime = 3

// Offer is what this end brings to a session, and what it asks of the other.
type Offer struct {
	Open Open
	// PeerASN is the ASN that the router must have; 0 leaves it to Internal.
	PeerASN uint32
	// Internal: the router must have our ASN, else any but ours. It counts only where PeerASN is 0.
	Internal bool
}

// Session is what both ends have agreed on.
type Session struct {
	PeerASN  uint32
	Internal bool
	HoldTime uint16 // seconds
	Families Family
	// IPv4OverIPv6: IPv4 routes may have IPv6 next hops.
	IPv4OverIPv6 bool
	// Graceful are the families whose routes the router keeps while this end restarts.
	Graceful Family
}

// Check reads a router's OPEN against the offer. The error is the *Notification that refuses it, section 6.2.
func (f Offer) Check(peer Open) (Session, error) {
	internal := peer.ASN == f.Open.ASN
	families := f.Open.Families & peer.Families
	switch {
	case peer.ASN == 0, f.PeerASN != 0 && peer.ASN != f.PeerASN, f.PeerASN == 0 && internal != f.Internal:
		return Session{}, openError(2)
	case peer.HoldTime < LeastHoldTime:
		return Session{}, openError(6)
	case internal && peer.RouterID == f.Open.RouterID: // RFC 6286: only inside one AS must it differ
		return Session{}, openError(3)
	case families == 0:
		return Session{}, &Notification{Code: CodeOpen, Subcode: 7, Data: f.wantedFamilies()}
	}
	s := Session{
		PeerASN: peer.ASN, Internal: internal, HoldTime: min(peer.HoldTime, f.Open.HoldTime), Families: families,
		IPv4OverIPv6: f.Open.IPv4OverIPv6 && peer.IPv4OverIPv6,
	}
	if f.Open.Graceful.Present && peer.Graceful.Present {
		// A router that only helps lists no family; it keeps those that we list.
		s.Graceful = families
	}
	return s, nil
}

// wantedFamilies lists the capabilities that were missing, as RFC 5492 section 3 asks.
func (f Offer) wantedFamilies() []byte {
	var b []byte
	for _, family := range f.Open.Families.Each() {
		b = append(b, capMultiprotocol, 4)
		b = binary.BigEndian.AppendUint16(b, family.afi())
		b = append(b, 0, safiUnicast)
	}
	return b
}

// Inner returns the OPEN that GoBGP is given in the router's name: only what was agreed on, with an ASN of our choice.
func (s Session) Inner(peer Open, asn uint32) Open {
	return Open{
		ASN: asn, HoldTime: peer.HoldTime, RouterID: peer.RouterID, Families: s.Families, RouteRefresh: peer.RouteRefresh,
		FourOctetASN: peer.FourOctetASN, IPv4OverIPv6: s.IPv4OverIPv6,
		// With the capability, GoBGP ends its first round of UPDATEs with End-of-RIB.
		Graceful: Graceful{Present: s.Graceful != 0, Time: peer.Graceful.Time, Families: s.Graceful},
	}
}

func openError(subcode uint8) *Notification { return &Notification{Code: CodeOpen, Subcode: subcode} }
