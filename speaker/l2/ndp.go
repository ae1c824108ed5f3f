package l2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/icmp"
	"golang.org/x/sys/unix"
)

const (
	ethLen  = 14
	ipv6Len = 40
)

// ndpWire answers neighbour solicitations on one interface. It reads and writes whole frames: a raw ICMPv6 socket never
// sees the unicast solicitations for addresses that the kernel does not own, and could not send in another's stead.
type ndpWire struct {
	*port
	source netip.Addr // link-local
	groups *groups
	buf    []byte // read's alone
}

func openNDP(i Interface) (wire, error) {
	p, err := listen(i, protocolNDP, unix.ETH_P_IPV6)
	if err != nil {
		return nil, fmt.Errorf("opening NDP socket: %w", err)
	}
	g := &groups{open: func() (joiner, error) { return openJoiner(i) }}
	return &ndpWire{port: p, source: i.LinkLocal, groups: g, buf: make([]byte, wholeFrame)}, nil
}

func (w *ndpWire) Close() error {
	w.groups.close()
	return w.port.Close()
}

// hear opens the filter before it joins, so that no solicitation gets lost in between.
func (w *ndpWire) hear(h hearing) error {
	if err := w.port.hear(h); err != nil {
		return err
	}
	return w.groups.change(h.asked, h.unasked)
}

func (w *ndpWire) read() (heard, error) {
	n, _, err := w.ReadFrom(w.buf)
	if err != nil {
		return heard{}, unusable(err)
	}
	return hearNDP(w.buf[:n], w.mac), nil
}

// hearNDP says what a frame means to the interface called own. An advertisement claims its target, and so does a
// solicitation its source; one without a source is a probe (RFC 4862 §5.4.3).
func hearNDP(frame []byte, own MAC) heard {
	h := heard{}
	if s, ok := parseSolicitation(frame); ok {
		h = heard{from: s.asker, asked: s.target, source: s.source, probe: s.source.IsUnspecified()}
		if !h.probe {
			h.claimed = s.source
		}
	} else if a, ok := parseAdvertisement(frame); ok {
		h = heard{from: a.station, claimed: a.target}
	}
	if h.from == own || len(frame) >= ethLen && bytes.Equal(frame[6:12], own[:]) {
		return heard{}
	}
	return h
}

func (w *ndpWire) reply(h heard, a answer) error {
	ad := advertise(w.mac, w.source, h.asked, a)
	if !h.probe {
		ad = ad.inReplyTo(h)
	}
	frame, err := ad.frame()
	if err != nil {
		return err
	}
	return w.offer(frame)
}

func (w *ndpWire) announce(addrs []netip.Addr, find lookup) (int, error) {
	return w.batch(addrs, func(a netip.Addr) (int, error) {
		to := find(a)
		if !to.speaks() {
			return 0, nil
		}
		frame, err := advertise(w.mac, w.source, a, to).frame()
		if err != nil {
			return 0, err
		}
		return 1, w.send(frame)
	})
}

// probe: RFC 4862 §5.4.2.
func (w *ndpWire) probe(addrs []netip.Addr) (int, error) {
	return w.batch(addrs, func(a netip.Addr) (int, error) {
		frame, err := duplicateProbe(w.mac, a)
		if err != nil {
			return 0, err
		}
		return 1, w.send(frame)
	})
}

// solicitation is a neighbour solicitation that passed the checks of RFC 4861 §7.1.1.
type solicitation struct {
	target, source netip.Addr // source is unspecified in a duplicate address probe
	asker          MAC        // source link-layer address option, else the frame's source
}

// parseSolicitation takes a whole Ethernet frame.
func parseSolicitation(frame []byte) (solicitation, bool) {
	body, src, dst, ok := icmpv6(frame)
	if !ok || len(body) < 24 || body[0] != 135 || body[1] != 0 {
		return solicitation{}, false
	}
	m, err := ndp.ParseMessage(body) // refuses options of length zero
	ns, ok := m.(*ndp.NeighborSolicitation)
	if err != nil || !ok || ns.TargetAddress.IsMulticast() || src.IsMulticast() {
		return solicitation{}, false
	}
	s := solicitation{target: ns.TargetAddress, source: src, asker: MAC(frame[6:12])}
	option := linkLayer(ns.Options, ndp.Source)
	if src.IsUnspecified() {
		group, err := ndp.SolicitedNodeMulticast(s.target)
		return s, err == nil && dst == group && option == nil && s.asker.station()
	}
	if option != nil {
		s.asker, ok = MACOf(option)
		return s, ok
	}
	return s, s.asker.station()
}

// advertised is a neighbour advertisement that passed the checks of RFC 4861 §7.1.2.
type advertised struct {
	target  netip.Addr
	station MAC // target link-layer address option, else the frame's source
}

// parseAdvertisement takes a whole Ethernet frame.
func parseAdvertisement(frame []byte) (advertised, bool) {
	body, _, dst, ok := icmpv6(frame)
	if !ok || len(body) < 24 || body[0] != 136 || body[1] != 0 {
		return advertised{}, false
	}
	m, err := ndp.ParseMessage(body)
	na, ok := m.(*ndp.NeighborAdvertisement)
	if err != nil || !ok || na.TargetAddress.IsMulticast() || dst.IsMulticast() && na.Solicited {
		return advertised{}, false
	}
	from := net.HardwareAddr(frame[6:12])
	if option := linkLayer(na.Options, ndp.Target); option != nil {
		from = option
	}
	mac, ok := MACOf(from)
	return advertised{na.TargetAddress, mac}, ok
}

// icmpv6 checks the frame's IPv6 header and the ICMPv6 checksum. Hop limit 255 proves that no router has passed it on.
func icmpv6(frame []byte) (body []byte, src, dst netip.Addr, ok bool) {
	if len(frame) < ethLen+ipv6Len || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IPV6 {
		return nil, src, dst, false
	}
	ip := frame[ethLen:]
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if ip[0]>>4 != 6 || ip[6] != unix.IPPROTO_ICMPV6 || ip[7] != ndp.HopLimit || length > len(ip)-ipv6Len {
		return nil, src, dst, false
	}
	src, dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	body = ip[ipv6Len : ipv6Len+length]
	return body, src, dst, validChecksum(body, src, dst)
}

// validChecksum: RFC 4443 §2.3; over the pseudo-header and the message the ones' complement sum is all ones.
func validChecksum(body []byte, src, dst netip.Addr) bool {
	pseudo := icmp.IPv6PseudoHeader(src.AsSlice(), dst.AsSlice())
	sum := uint32(len(body)) + onesSum(pseudo) + onesSum(body)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}

func onesSum(b []byte) (sum uint32) {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func linkLayer(options []ndp.Option, of ndp.Direction) net.HardwareAddr {
	for _, o := range options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == of {
			return l.Addr
		}
	}
	return nil
}

// advertisement is a neighbour advertisement and the addresses of the frame that carries it.
type advertisement struct {
	message  ndp.NeighborAdvertisement
	from, to MAC
	src, dst netip.Addr
}

// advertise returns the unsolicited advertisement to all neighbours (RFC 4861 §7.2.6), from which replies differ little.
//
// Router: the sender is a router (RFC 4861 §4.4). A node that serves Services forwards packets to pods, and its kernel sets
// the flag in its own advertisements from the same link-local address; the two must not contradict each other.
//
// Override: the cached entry, if there is one, names the node that had the address before. A stand-in leaves the last
// word to the station that it names (RFC 4861 §7.2.8).
//
// Source: "an address assigned to the interface" (RFC 4861 §4.4), which the announced address is not; the link-local
// one always exists, is valid on the link, and needs no choice among several.
func advertise(own MAC, source, target netip.Addr, a answer) advertisement {
	return advertisement{
		message: ndp.NeighborAdvertisement{
			Router: true, Override: a.role == owned, TargetAddress: target,
			Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: a.mac[:]}},
		},
		from: own, src: source,
		to: MAC{0x33, 0x33, 0, 0, 0, 1}, dst: netip.IPv6LinkLocalAllNodes(),
	}
}

// inReplyTo directs an advertisement to who asked. Who has no address yet is answered through everybody (RFC 4861 §7.2.4).
func (a advertisement) inReplyTo(h heard) advertisement {
	a.message.Solicited, a.to, a.dst = true, h.from, h.source
	return a
}

func (a advertisement) frame() ([]byte, error) {
	return ndpFrame(a.to, a.from, a.src, a.dst, &a.message)
}

func duplicateProbe(own MAC, target netip.Addr) ([]byte, error) {
	group, err := ndp.SolicitedNodeMulticast(target)
	if err != nil {
		return nil, err
	}
	low := group.As16()
	to := MAC{0x33, 0x33, low[12], low[13], low[14], low[15]} // RFC 2464 §7
	return ndpFrame(to, own, netip.IPv6Unspecified(), group, &ndp.NeighborSolicitation{TargetAddress: target})
}

func ndpFrame(to, from MAC, src, dst netip.Addr, m ndp.Message) ([]byte, error) {
	body, err := ndp.MarshalMessageChecksum(m, src, dst)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, ethLen+ipv6Len+len(body))
	b = append(append(b, to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, unix.IPPROTO_ICMPV6, ndp.HopLimit)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, body...), nil
}
