package l2

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"golang.org/x/sys/unix"
)

// arpWire answers ARP requests on one interface.
type arpWire struct {
	*port
	client *arp.Client
}

func openARP(i Interface) (wire, error) {
	p, err := listen(i, protocolARP, unix.ETH_P_ARP)
	if err != nil {
		return nil, fmt.Errorf("opening ARP socket: %w", err)
	}
	client, err := arp.New(i.netInterface(), p.Conn)
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("opening ARP client: %w", err)
	}
	return &arpWire{port: p, client: client}, nil
}

func (w *arpWire) read() (heard, error) {
	p, f, err := w.client.Read()
	if err != nil {
		return heard{}, unusable(err)
	}
	return hearARP(p, f, w.mac), nil
}

// hearARP says what a frame means to the interface called own. Whatever names a sender address claims it (RFC 5227 §2.4);
// a probe names none (§2.1.1), and is answered like any request: that is how its sender learns that the address is taken.
// A request whose sender is its target asks nothing, it announces (§3).
func hearARP(p *arp.Packet, f *ethernet.Frame, own MAC) heard {
	from, ok := MACOf(p.SenderHardwareAddr)
	switch {
	case !ok || from == own || bytes.Equal(f.Source, own[:]):
		return heard{}
	case !bytes.Equal(f.Destination, ethernet.Broadcast) && !bytes.Equal(f.Destination, own[:]):
		return heard{}
	case p.Operation != arp.OperationRequest && p.Operation != arp.OperationReply:
		return heard{}
	}
	h := heard{from: from}
	if !p.SenderIP.IsUnspecified() {
		h.claimed = p.SenderIP
	}
	if p.Operation == arp.OperationRequest && p.SenderIP != p.TargetIP {
		h.asked, h.source, h.probe = p.TargetIP, p.SenderIP, p.SenderIP.IsUnspecified()
	}
	return h
}

func (w *arpWire) reply(h heard, a answer) error {
	frame, err := arpFrame(w.mac, h.from, arpPacket(arp.OperationReply, a.mac, h.asked, h.from, h.source))
	if err != nil {
		return err
	}
	return w.offer(frame)
}

// announce sends both forms of gratuitous ARP, since some stacks heed only the one and some only the other.
func (w *arpWire) announce(addrs []netip.Addr, find lookup) (int, error) {
	return w.batch(addrs, func(a netip.Addr) (int, error) {
		to := find(a)
		if !to.speaks() {
			return 0, nil
		}
		return w.broadcast(gratuitous(a, to.mac)...)
	})
}

// probe: RFC 5227 §2.1.1.
func (w *arpWire) probe(addrs []netip.Addr) (int, error) {
	return w.batch(addrs, func(a netip.Addr) (int, error) {
		return w.broadcast(arpPacket(arp.OperationRequest, w.mac, netip.IPv4Unspecified(), MAC{}, a))
	})
}

func (w *arpWire) broadcast(packets ...*arp.Packet) (int, error) {
	for n, p := range packets {
		frame, err := arpFrame(w.mac, MAC(ethernet.Broadcast), p)
		if err != nil {
			return n, err
		}
		if err := w.send(frame); err != nil {
			return n, err
		}
	}
	return len(packets), nil
}

// gratuitous returns the request form (RFC 5227 §3: target hardware address zero) and the reply form (RFC 5944 §4.6: the
// target's hardware address equals the sender's, without which Linux does not take it for an announcement).
func gratuitous(a netip.Addr, mac MAC) []*arp.Packet {
	return []*arp.Packet{arpPacket(arp.OperationRequest, mac, a, MAC{}, a), arpPacket(arp.OperationReply, mac, a, mac, a)}
}

func arpPacket(op arp.Operation, from MAC, source netip.Addr, to MAC, target netip.Addr) *arp.Packet {
	return &arp.Packet{
		HardwareType: 1, ProtocolType: unix.ETH_P_IP, HardwareAddrLength: 6, IPLength: 4, Operation: op,
		SenderHardwareAddr: net.HardwareAddr(from[:]), SenderIP: source, TargetHardwareAddr: net.HardwareAddr(to[:]), TargetIP: target,
	}
}

// arpFrame differs from what arp.Client sends in that the frame's source is always this interface, whatever station the
// packet names: switches learn from the frame.
func arpFrame(own, to MAC, p *arp.Packet) ([]byte, error) {
	payload, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	f := ethernet.Frame{Destination: to[:], Source: own[:], EtherType: ethernet.EtherTypeARP, Payload: payload}
	return f.MarshalBinary()
}
