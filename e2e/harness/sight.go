package harness

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// Sight is one frame that told a host at which hardware address an address is.
type Sight struct {
	At      time.Time // when the kernel received it
	Addr    netip.Addr
	MAC     string // what neighbours learn
	From    string // the frame's source: another station's than MAC where one answers in the stead of another
	Unasked bool   // gratuitous ARP or an unsolicited neighbour advertisement
}

const (
	etherHeader = 14
	ip6Header   = 40
	etherARP    = 0x0806
	etherIPv6   = 0x86dd
	protoICMPv6 = 58
	advertised  = 136 // ICMPv6 type, RFC 4861 §4.4
	solicited   = 0x40
	targetLink  = 2 // option, RFC 4861 §4.6.1
)

// sightIn reads an Ethernet frame, false if it tells of no address.
func sightIn(frame []byte) (s Sight, ok bool) {
	if len(frame) < etherHeader {
		return s, false
	}
	s.From = net.HardwareAddr(frame[6:12]).String()
	switch body := frame[etherHeader:]; binary.BigEndian.Uint16(frame[12:14]) {
	case etherARP:
		return s.arp(body)
	case etherIPv6:
		return s.na(body)
	}
	return s, false
}

// arp reads a packet of RFC 826 for IPv4 on Ethernet. A request tells of its sender, too.
func (s Sight) arp(b []byte) (Sight, bool) {
	if len(b) < 28 || binary.BigEndian.Uint16(b[2:4]) != 0x0800 {
		return s, false
	}
	s.MAC = net.HardwareAddr(b[8:14]).String()
	s.Addr = netip.AddrFrom4([4]byte(b[14:18]))
	s.Unasked = s.Addr == netip.AddrFrom4([4]byte(b[24:28]))
	return s, !s.Addr.IsUnspecified()
}

// na reads a neighbour advertisement, RFC 4861 §4.4.
func (s Sight) na(b []byte) (Sight, bool) {
	if len(b) < ip6Header+24 || b[6] != protoICMPv6 || b[ip6Header] != advertised {
		return s, false
	}
	m := b[ip6Header:]
	s.Addr, s.Unasked, s.MAC = netip.AddrFrom16([16]byte(m[8:24])), m[4]&solicited == 0, s.From
	for o := m[24:]; len(o) >= 8 && o[1] > 0; o = o[min(len(o), int(o[1])*8):] {
		if o[0] == targetLink {
			s.MAC = net.HardwareAddr(o[2:8]).String()
		}
	}
	return s, true
}
