package wire

import (
	"encoding/binary"
	"time"
)

// Verdict is what becomes of a router's message.
type Verdict uint8

// The verdicts.
const (
	Drop    Verdict = iota
	Pass            // as it is
	StandIn         // a KEEPALIVE goes on in its place
)

// Filter decides which of a router's messages GoBGP gets to see, once both OPENs are through. No UPDATE is among them:
// nothing in one is of use to a speaker that only announces, and GoBGP does not survive every one. The zero value is ready.
type Filter struct {
	stoodIn time.Time
}

// Judge decides on one message; body is not looked at for an UPDATE and may be nil. An UPDATE is as good a sign of life as a
// KEEPALIVE (section 4.4), so that one stands in for it, at most once a second.
// The error is the *Notification for a message that must not come now.
func (f *Filter) Judge(now time.Time, t Type, body []byte) (Verdict, error) {
	switch t {
	case TypeKeepalive, TypeNotification:
		return Pass, nil
	case TypeUpdate:
		if now.Sub(f.stoodIn) < time.Second {
			return Drop, nil
		}
		f.stoodIn = now
		return StandIn, nil
	case TypeRouteRefresh:
		// RFC 2918, RFC 7313: subtypes 0 to 2. Longer ones carry filters (RFC 5291) that were not asked for.
		if len(body) == 4 && body[2] <= 2 && familyOf(binary.BigEndian.Uint16(body), body[3]) != 0 {
			return Pass, nil
		}
		return Drop, nil
	}
	return Drop, &Notification{Code: CodeFSM, Subcode: 3} // a second OPEN, RFC 6608
}
