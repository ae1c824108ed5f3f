package l2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
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
	ifi    Interface
	conn   *packet.Conn
	groups *groups
	buf    []byte // serve's alone
}

func openNDP(i Interface) (wire, error) {
	conn, err := listen(i, protocolNDP, unix.ETH_P_IPV6)
	if err != nil {
		return nil, fmt.Errorf("opening NDP socket: %w", err)
	}
	g := &groups{open: func() (joiner, error) { return openJoiner(i) }}
	return &ndpWire{ifi: i, conn: conn, groups: g, buf: make([]byte, wholeFrame)}, nil
}

func (w *ndpWire) Close() error {
	w.groups.close()
	return w.conn.Close()
}

// retarget opens the filter before it joins, so that no solicitation gets lost in between.
func (w *ndpWire) retarget(addrs []netip.Addr) error {
	if err := setFilter(w.conn, protocolNDP, w.ifi.Index, addrs); err != nil {
		return fmt.Errorf("setting NDP filter: %w", err)
	}
	return w.groups.set(addrs)
}

func (w *ndpWire) serve(find lookup) (bool, error) {
	n, _, err := w.conn.ReadFrom(w.buf)
	if err != nil {
		return false, unusable(err)
	}
	s, ok := parseSolicitation(w.buf[:n])
	if !ok || bytes.Equal(s.asker, w.ifi.MAC) {
		return false, nil
	}
	a, ok := find(s.target)
	if !ok {
		return false, nil
	}
	return w.send(s.reply(w.ifi, a)) == nil, nil
}

func (w *ndpWire) announce(addrs []netip.Addr, find lookup) (int, error) {
	return batch(w.conn, addrs, find, func(a netip.Addr, to answer) (int, error) {
		if err := w.send(advertise(w.ifi, a, to)); err != nil {
			return 0, err
		}
		return 1, nil
	})
}

func (w *ndpWire) send(ad advertisement) error {
	frame, err := ad.frame()
	if err != nil {
		return err
	}
	_, err = w.conn.WriteTo(frame, &packet.Addr{HardwareAddr: ad.to})
	return err
}

// solicitation is a neighbour solicitation that passed the checks of RFC 4861 §7.1.1.
type solicitation struct {
	target, source netip.Addr       // source is unspecified in a duplicate address probe
	asker          net.HardwareAddr // source link-layer address option, else the frame's source
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
	s := solicitation{target: ns.TargetAddress, source: src, asker: bytes.Clone(frame[6:12])}
	option := sourceLinkLayer(ns.Options)
	if src.IsUnspecified() {
		group, err := ndp.SolicitedNodeMulticast(s.target)
		return s, err == nil && dst == group && option == nil && station(s.asker)
	}
	if option != nil {
		s.asker = option
	}
	return s, station(s.asker)
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

func sourceLinkLayer(options []ndp.Option) net.HardwareAddr {
	for _, o := range options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == ndp.Source {
			return l.Addr
		}
	}
	return nil
}

// advertisement is a neighbour advertisement and the addresses of the frame that carries it.
type advertisement struct {
	message  ndp.NeighborAdvertisement
	from, to net.HardwareAddr
	src, dst netip.Addr
}

// advertise returns the unsolicited advertisement to all neighbours (RFC 4861 §7.2.6), from which replies differ little.
//
// Router: the sender is a router (RFC 4861 §4.4). A node that serves Services forwards packets to pods, and its kernel sets
// the flag in its own advertisements from the same link-local address; the two must not contradict each other.
//
// Override: the cached entry, if there is one, names the node that had the address before.
//
// Source: "an address assigned to the interface" (RFC 4861 §4.4), which the announced address is not; the link-local
// one always exists, is valid on the link, and needs no choice among several.
func advertise(i Interface, target netip.Addr, a answer) advertisement {
	return advertisement{
		message: ndp.NeighborAdvertisement{
			Router: true, Override: true, TargetAddress: target,
			Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: a.mac}},
		},
		from: i.MAC, src: i.LinkLocal,
		to: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, dst: netip.IPv6LinkLocalAllNodes(),
	}
}

// reply answers the asker, or everybody if the asker has no address yet (RFC 4861 §7.2.4).
func (s solicitation) reply(i Interface, a answer) advertisement {
	ad := advertise(i, s.target, a)
	if !s.source.IsUnspecified() {
		ad.message.Solicited, ad.to, ad.dst = true, s.asker, s.source
	}
	return ad
}

func (a advertisement) frame() ([]byte, error) {
	body, err := ndp.MarshalMessageChecksum(&a.message, a.src, a.dst)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, ethLen+ipv6Len+len(body))
	b = append(append(b, a.to...), a.from...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, unix.IPPROTO_ICMPV6, ndp.HopLimit)
	b = append(append(b, a.src.AsSlice()...), a.dst.AsSlice()...)
	return append(b, body...), nil
}
