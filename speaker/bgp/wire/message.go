package wire

import (
	"encoding/binary"
	"fmt"
)

// HeaderLen and MaxLen bound a message, section 4.1. Nobody here asks for the longer ones of RFC 8654.
const (
	HeaderLen = 19
	MaxLen    = 4096
)

// Type is the kind of a message.
type Type uint8

// The types of section 4.1, and ROUTE-REFRESH of RFC 2918.
const (
	TypeOpen         Type = 1
	TypeUpdate       Type = 2
	TypeNotification Type = 3
	TypeKeepalive    Type = 4
	TypeRouteRefresh Type = 5
)

// String returns the name that the RFCs use.
func (t Type) String() string {
	switch t {
	case TypeOpen:
		return "OPEN"
	case TypeUpdate:
		return "UPDATE"
	case TypeNotification:
		return "NOTIFICATION"
	case TypeKeepalive:
		return "KEEPALIVE"
	case TypeRouteRefresh:
		return "ROUTE-REFRESH"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ParseHeader checks a message's header and returns its type and the length of what follows. The error is the *Notification
// that section 6.1 answers with.
func ParseHeader(h [HeaderLen]byte) (Type, int, error) {
	for _, b := range h[:16] {
		if b != 0xff {
			return 0, 0, &Notification{Code: CodeHeader, Subcode: 1}
		}
	}
	length, t := int(binary.BigEndian.Uint16(h[16:18])), Type(h[18])
	least, most, known := bounds(t)
	switch {
	case !known:
		return 0, 0, &Notification{Code: CodeHeader, Subcode: 3, Data: []byte{byte(t)}}
	case length < least || length > most:
		return 0, 0, &Notification{Code: CodeHeader, Subcode: 2, Data: []byte{h[16], h[17]}}
	}
	return t, length - HeaderLen, nil
}

// bounds returns the least and the greatest length of a message.
func bounds(t Type) (least, most int, known bool) {
	switch t {
	case TypeOpen:
		return 29, MaxLen, true
	case TypeUpdate:
		return 23, MaxLen, true
	case TypeNotification:
		return 21, MaxLen, true
	case TypeKeepalive:
		return HeaderLen, HeaderLen, true
	case TypeRouteRefresh:
		return 23, MaxLen, true // RFC 5291 makes them longer than 23
	}
	return 0, 0, false
}

// Append appends a message with the given body.
func Append(b []byte, t Type, body []byte) []byte {
	for range 16 {
		b = append(b, 0xff)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(HeaderLen+len(body)))
	b = append(b, byte(t))
	return append(b, body...)
}

// Keepalive returns a whole KEEPALIVE message.
func Keepalive() []byte { return Append(nil, TypeKeepalive, nil) }
