package wire

import (
	"encoding/binary"
	"net/netip"
)

// asTrans stands in the two octets of OPEN for an ASN that needs four (RFC 6793).
const asTrans = 23456

// Capability codes, IANA's registry.
const (
	capMultiprotocol   = 1  // RFC 4760
	capRouteRefresh    = 2  // RFC 2918
	capExtendedNextHop = 5  // RFC 8950
	capGracefulRestart = 64 // RFC 4724
	capFourOctetASN    = 65 // RFC 6793
)

// Open is what is understood of an OPEN message (section 4.2); whatever else one holds is left out.
type Open struct {
	ASN      uint32
	HoldTime uint16 // seconds
	RouterID netip.Addr
	// Families are those of the multiprotocol capabilities; IPv4 where there is none.
	Families     Family
	RouteRefresh bool
	FourOctetASN bool
	// IPv4OverIPv6: IPv4 routes may have IPv6 next hops.
	IPv4OverIPv6 bool
	Graceful     Graceful
}

// Graceful is the capability of graceful restart, RFC 4724 section 3.
type Graceful struct {
	Present    bool
	Restarting bool   // the R bit
	Time       uint16 // seconds, 12 bits
	Families   Family
	// Forwarding are the families with the F bit: their forwarding state has been kept.
	Forwarding Family
}

// ParseOpen reads the body of an OPEN. The error is the *Notification that section 6.2 answers with.
func ParseOpen(body []byte) (Open, error) {
	if len(body) < 10 {
		return Open{}, openError(0)
	}
	if body[0] != 4 {
		return Open{}, &Notification{Code: CodeOpen, Subcode: 1, Data: []byte{0, 4}}
	}
	o := Open{
		ASN: uint32(binary.BigEndian.Uint16(body[1:])), HoldTime: binary.BigEndian.Uint16(body[3:]),
		RouterID: netip.AddrFrom4([4]byte(body[5:9])),
	}
	params, wide, ok := parameters(body)
	if !ok {
		return Open{}, openError(0)
	}
	multiprotocol := false
	for len(params) > 0 {
		var code byte
		var value []byte
		if code, value, params, ok = cut(params, wide); !ok {
			return Open{}, openError(0)
		}
		if code != 2 { // only capabilities are known (RFC 5492)
			return Open{}, openError(4)
		}
		for len(value) > 0 {
			var c byte
			var v []byte
			if c, v, value, ok = cut(value, false); !ok {
				return Open{}, openError(0)
			}
			multiprotocol = multiprotocol || c == capMultiprotocol
			o.take(c, v)
		}
	}
	if !multiprotocol {
		o.Families = IPv4
	}
	if o.RouterID.IsUnspecified() {
		return Open{}, openError(3)
	}
	return o, nil
}

// parameters returns the optional parameters, and whether they have the two-octet lengths of RFC 9072.
func parameters(body []byte) (params []byte, wide, ok bool) {
	length, rest := int(body[9]), body[10:]
	if length != 0 && len(rest) >= 3 && rest[0] == 255 {
		length, rest, wide = int(binary.BigEndian.Uint16(rest[1:])), rest[3:], true
	}
	return rest, wide, length == len(rest)
}

// cut takes one code, length and value off b.
func cut(b []byte, wide bool) (code byte, value, rest []byte, ok bool) {
	head := 2
	if wide {
		head = 3
	}
	if len(b) < head {
		return 0, nil, nil, false
	}
	length := int(b[1])
	if wide {
		length = int(binary.BigEndian.Uint16(b[1:]))
	}
	if len(b) < head+length {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+length], b[head+length:], true
}

// take notes a capability. One with a length of its own invention is left out as an unknown one is.
func (o *Open) take(code byte, v []byte) {
	switch {
	case code == capMultiprotocol && len(v) == 4:
		o.Families |= familyOf(binary.BigEndian.Uint16(v), v[3])
	case code == capRouteRefresh && len(v) == 0:
		o.RouteRefresh = true
	case code == capFourOctetASN && len(v) == 4:
		o.FourOctetASN, o.ASN = true, binary.BigEndian.Uint32(v)
	case code == capExtendedNextHop && len(v)%6 == 0:
		for ; len(v) > 0; v = v[6:] {
			family := familyOf(binary.BigEndian.Uint16(v), byte(binary.BigEndian.Uint16(v[2:])))
			o.IPv4OverIPv6 = o.IPv4OverIPv6 || family == IPv4 && v[2] == 0 && binary.BigEndian.Uint16(v[4:]) == 2
		}
	case code == capGracefulRestart && len(v)%4 == 2:
		o.Graceful = parseGraceful(v)
	}
}

func parseGraceful(v []byte) Graceful {
	g := Graceful{Present: true, Restarting: v[0]&0x80 != 0, Time: binary.BigEndian.Uint16(v) & 0xfff}
	for v = v[2:]; len(v) > 0; v = v[4:] {
		family := familyOf(binary.BigEndian.Uint16(v), v[2])
		g.Families |= family
		if v[3]&0x80 != 0 {
			g.Forwarding |= family
		}
	}
	return g
}

// Append appends the whole message. Each capability is in a parameter of its own: some old routers read only the first
// of a parameter.
func (o Open) Append(b []byte) []byte {
	asn := uint16(asTrans)
	if o.ASN <= 0xffff {
		asn = uint16(o.ASN)
	}
	params := o.capabilities()
	body := append([]byte{4}, byte(asn>>8), byte(asn), byte(o.HoldTime>>8), byte(o.HoldTime))
	id := o.RouterID.As4()
	body = append(body, id[:]...)
	body = append(body, byte(len(params)))
	return Append(b, TypeOpen, append(body, params...))
}

func (o Open) capabilities() []byte {
	var b []byte
	add := func(code byte, v ...byte) {
		b = append(b, 2, byte(2+len(v)), code, byte(len(v)))
		b = append(b, v...)
	}
	for _, f := range o.Families.Each() {
		add(capMultiprotocol, 0, byte(f.afi()), 0, safiUnicast)
	}
	if o.RouteRefresh {
		add(capRouteRefresh)
	}
	if o.IPv4OverIPv6 {
		add(capExtendedNextHop, 0, 1, 0, safiUnicast, 0, 2)
	}
	if o.Graceful.Present {
		add(capGracefulRestart, o.Graceful.value()...)
	}
	if o.FourOctetASN {
		add(capFourOctetASN, binary.BigEndian.AppendUint32(nil, o.ASN)...)
	}
	return b
}

func (g Graceful) value() []byte {
	head := min(g.Time, 0xfff)
	if g.Restarting {
		head |= 0x8000
	}
	v := binary.BigEndian.AppendUint16(nil, head)
	for _, f := range g.Families.Each() {
		flags := byte(0)
		if g.Forwarding.Has(f) {
			flags = 0x80
		}
		v = append(v, 0, byte(f.afi()), safiUnicast, flags)
	}
	return v
}
