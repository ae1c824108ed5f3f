package l2

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

func TestHearARP(t *testing.T) {
	ours, other, zero := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9"), netip.IPv4Unspecified()
	from := MAC(macB)
	question := heard{from: from, asked: ours, source: other, claimed: other}
	tests := []struct {
		name string
		edit func(*arp.Packet, *ethernet.Frame)
		want heard
	}{
		{"broadcast request", func(*arp.Packet, *ethernet.Frame) {}, question},
		{"unicast request to us", func(_ *arp.Packet, f *ethernet.Frame) { f.Destination = macA }, question},
		{"unicast request to another", func(_ *arp.Packet, f *ethernet.Frame) { f.Destination = macB }, heard{}},
		{"probe", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderIP = zero }, heard{from: from, asked: ours, source: zero, probe: true}},
		{"announcement", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderIP = ours }, heard{from: from, claimed: ours}},
		{"reply", func(p *arp.Packet, _ *ethernet.Frame) { p.Operation = arp.OperationReply }, heard{from: from, claimed: other}},
		{"reply for another", func(p *arp.Packet, f *ethernet.Frame) { p.Operation, f.Destination = arp.OperationReply, macB }, heard{}},
		{"reverse ARP", func(p *arp.Packet, _ *ethernet.Frame) { p.Operation = 3 }, heard{}},
		{"frame's source differs: a stand-in", func(_ *arp.Packet, f *ethernet.Frame) { f.Source = net.HardwareAddr{2, 0, 0, 0, 0, 0xc} }, question},
		{"our own frame come back", func(_ *arp.Packet, f *ethernet.Frame) { f.Source = macA }, heard{}},
		{"a stand-in's frame for us", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = macA }, heard{}},
		{"asker with a group address", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = ethernet.Broadcast }, heard{}},
		{"asker without an address", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = make(net.HardwareAddr, 6) }, heard{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := arp.NewPacket(arp.OperationRequest, macB, other, make(net.HardwareAddr, 6), ours)
			if err != nil {
				t.Fatal(err)
			}
			f := &ethernet.Frame{Destination: ethernet.Broadcast, Source: macB}
			tt.edit(p, f)
			if got := hearARP(p, f, MAC(macA)); got != tt.want {
				t.Errorf("heard %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestGratuitous(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	form := func(op arp.Operation, target net.HardwareAddr) *arp.Packet {
		return &arp.Packet{
			HardwareType: 1, ProtocolType: 0x800, HardwareAddrLength: 6, IPLength: 4, Operation: op,
			SenderHardwareAddr: macA, SenderIP: a, TargetHardwareAddr: target, TargetIP: a,
		}
	}
	want := []*arp.Packet{form(arp.OperationRequest, make(net.HardwareAddr, 6)), form(arp.OperationReply, macA)}
	if diff := cmp.Diff(want, gratuitous(a, MAC(macA)), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

// FuzzARP: whatever passes the filter's fixed fields must be read without harm, and be answered only to a station.
func FuzzARP(f *testing.F) {
	ours := netip.MustParseAddr("192.0.2.1")
	f.Add(arpRequest(ours))
	f.Add(arpRequest(ours)[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame ethernet.Frame
		var p arp.Packet
		if frame.UnmarshalBinary(b) != nil || p.UnmarshalBinary(frame.Payload) != nil {
			return
		}
		h := hearARP(&p, &frame, MAC(macA))
		if (h.asked.IsValid() || h.claimed.IsValid()) && !h.from.station() {
			t.Errorf("heard %+v", h)
		}
		if h.asked == ours {
			if _, err := arpFrame(MAC(macA), h.from, arpPacket(arp.OperationReply, MAC(macA), h.asked, h.from, h.source)); err != nil {
				t.Errorf("cannot answer %+v: %v", h, err)
			}
		}
	})
}
