package l2

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// announceTimeout bounds how long one batch of unasked frames may wait for a network card that does not drain its queue.
const announceTimeout = 100 * time.Millisecond

// arpWire answers ARP requests on one interface.
type arpWire struct {
	ifi    Interface
	conn   *packet.Conn
	client *arp.Client
}

// listen opens a packet socket whose filter lets nothing through yet, so that not a single foreign frame gets queued.
func listen(i Interface, p protocol, etherType int) (*packet.Conn, error) {
	deaf, err := assemble(p, i.Index, nil, 1)
	if err != nil {
		return nil, err
	}
	return packet.Listen(i.netInterface(), packet.Raw, etherType, &packet.Config{Filter: deaf})
}

func openARP(i Interface) (wire, error) {
	conn, err := listen(i, protocolARP, unix.ETH_P_ARP)
	if err != nil {
		return nil, fmt.Errorf("opening ARP socket: %w", err)
	}
	client, err := arp.New(i.netInterface(), conn)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("opening ARP client: %w", err)
	}
	return &arpWire{ifi: i, conn: conn, client: client}, nil
}

func (w *arpWire) Close() error { return w.conn.Close() }

func (w *arpWire) retarget(addrs []netip.Addr) error {
	if err := setFilter(w.conn, protocolARP, w.ifi.Index, addrs); err != nil {
		return fmt.Errorf("setting ARP filter: %w", err)
	}
	return nil
}

func (w *arpWire) serve(find lookup) (bool, error) {
	p, f, err := w.client.Read()
	if err != nil {
		return false, unusable(err)
	}
	a, ok := answerARP(p, f, w.ifi.MAC, find)
	if !ok {
		return false, nil
	}
	reply, refused := arp.NewPacket(arp.OperationReply, a.mac, p.TargetIP, p.SenderHardwareAddr, p.SenderIP)
	if refused != nil {
		return false, nil //nolint:nilerr // not an answerable question, such as a sender address that is not IPv4
	}
	return w.send(reply, p.SenderHardwareAddr) == nil, nil
}

// answerARP decides whether a frame is a question for us. One whose sender is its target asks nothing: it announces
// (RFC 5227 §3). A probe, whose sender address is zero, is answered like any other: that is how its sender learns that
// the address is taken (RFC 5227 §2.1.1).
func answerARP(p *arp.Packet, f *ethernet.Frame, own net.HardwareAddr, find lookup) (answer, bool) {
	switch {
	case p.Operation != arp.OperationRequest || p.SenderIP == p.TargetIP:
		return answer{}, false
	case !bytes.Equal(f.Destination, ethernet.Broadcast) && !bytes.Equal(f.Destination, own):
		return answer{}, false
	case !station(p.SenderHardwareAddr) || bytes.Equal(f.Source, own) || bytes.Equal(p.SenderHardwareAddr, own):
		return answer{}, false
	}
	return find(p.TargetIP)
}

// station reports whether a hardware address can be that of one sender.
func station(mac net.HardwareAddr) bool {
	return len(mac) == 6 && mac[0]&1 == 0 && !bytes.Equal(mac, make([]byte, 6))
}

// send differs from arp.Client's WriteTo in that the frame's source is always this interface, whatever station the packet
// names: switches learn from the frame.
func (w *arpWire) send(p *arp.Packet, to net.HardwareAddr) error {
	payload, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	f := ethernet.Frame{Destination: to, Source: w.ifi.MAC, EtherType: ethernet.EtherTypeARP, Payload: payload}
	b, err := f.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = w.conn.WriteTo(b, &packet.Addr{HardwareAddr: to})
	return err
}

// announce sends both forms of gratuitous ARP, since some stacks heed only the one and some only the other.
func (w *arpWire) announce(addrs []netip.Addr, find lookup) (int, error) {
	return batch(w.conn, addrs, find, func(a netip.Addr, to answer) (int, error) {
		for n, p := range gratuitous(a, to.mac) {
			if err := w.send(p, ethernet.Broadcast); err != nil {
				return n, err
			}
		}
		return 2, nil
	})
}

// gratuitous returns the request form (RFC 5227 §3: target hardware address zero) and the reply form (RFC 5944 §4.6: the
// target's hardware address equals the sender's, without which Linux does not take it for an announcement).
func gratuitous(a netip.Addr, mac net.HardwareAddr) []*arp.Packet {
	form := func(op arp.Operation, target net.HardwareAddr) *arp.Packet {
		return &arp.Packet{
			HardwareType: 1, ProtocolType: unix.ETH_P_IP, HardwareAddrLength: 6, IPLength: 4, Operation: op,
			SenderHardwareAddr: mac, SenderIP: a, TargetHardwareAddr: target, TargetIP: a,
		}
	}
	return []*arp.Packet{form(arp.OperationRequest, make(net.HardwareAddr, 6)), form(arp.OperationReply, slices.Clone(mac))}
}
