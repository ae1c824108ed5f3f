package l2

import (
	"bytes"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
)

// arpOf returns the ARP packet in a frame, if there is one.
func arpOf(frame []byte) (*arp.Packet, bool) {
	var f ethernet.Frame
	var p arp.Packet
	if f.UnmarshalBinary(frame) != nil || f.EtherType != ethernet.EtherTypeARP || p.UnmarshalBinary(f.Payload) != nil {
		return nil, false
	}
	return &p, true
}

// ndpOf returns the neighbour discovery message in a frame, if there is one.
func ndpOf[M ndp.Message](frame []byte) (m M, dst netip.Addr, ok bool) {
	body, _, dst, ok := icmpv6(frame)
	if !ok {
		return m, dst, false
	}
	message, err := ndp.ParseMessage(body)
	if err != nil {
		return m, dst, false
	}
	m, ok = message.(M)
	return m, dst, ok
}

// speaks matches frames by which a station says where one of addrs is.
func speaks(from net.HardwareAddr, list ...netip.Addr) func([]byte) bool {
	return func(frame []byte) bool {
		if len(frame) < 14 || !bytes.Equal(frame[6:12], from) {
			return false
		}
		if p, ok := arpOf(frame); ok {
			return slices.Contains(list, p.SenderIP)
		}
		m, _, ok := ndpOf[*ndp.NeighborAdvertisement](frame)
		return ok && slices.Contains(list, m.TargetAddress)
	}
}

// counted matches until the n-th match.
func counted(n int, match func([]byte) bool) func([]byte) bool {
	return func(frame []byte) bool {
		if match(frame) {
			n--
		}
		return n == 0
	}
}

func nothing([]byte) bool { return false }

// asks makes an ARP request from the tap's own hardware address.
func (p *tap) asks(target netip.Addr, to net.HardwareAddr) []byte {
	f := arpRequest(target)
	copy(f[6:], p.mac)
	copy(f[22:], p.mac)
	copy(f, to)
	return f
}

// solicits makes a solicitation from the tap's own hardware address.
func (p *tap) solicits(target netip.Addr, edit func(*nsParts)) []byte {
	return nsFrame(target, func(n *nsParts) {
		n.from = p.mac
		n.ns.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: p.mac}}
		if edit != nil {
			edit(n)
		}
	})
}
