package l2

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

func finder(list ...netip.Addr) lookup {
	return func(a netip.Addr) (answer, bool) {
		if slices.Contains(list, a) {
			return answer{mac: macA}, true
		}
		return answer{}, false
	}
}

func TestAnswerARP(t *testing.T) {
	ours, asker, zero := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9"), netip.IPv4Unspecified()
	tests := []struct {
		name string
		edit func(*arp.Packet, *ethernet.Frame)
		want bool
	}{
		{"broadcast request", func(*arp.Packet, *ethernet.Frame) {}, true},
		{"unicast request to us", func(_ *arp.Packet, f *ethernet.Frame) { f.Destination = macA }, true},
		{"unicast request to another", func(_ *arp.Packet, f *ethernet.Frame) { f.Destination = macB }, false},
		{"probe", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderIP = zero }, true},
		{"announcement", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderIP = ours }, false},
		{"reply", func(p *arp.Packet, _ *ethernet.Frame) { p.Operation = arp.OperationReply }, false},
		{"not ours", func(p *arp.Packet, _ *ethernet.Frame) { p.TargetIP = asker.Next() }, false},
		{"our own frame come back", func(_ *arp.Packet, f *ethernet.Frame) { f.Source = macA }, false},
		{"our own request come back", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = macA }, false},
		{"asker with a group address", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = ethernet.Broadcast }, false},
		{"asker without an address", func(p *arp.Packet, _ *ethernet.Frame) { p.SenderHardwareAddr = make(net.HardwareAddr, 6) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := arp.NewPacket(arp.OperationRequest, macB, asker, make(net.HardwareAddr, 6), ours)
			if err != nil {
				t.Fatal(err)
			}
			f := &ethernet.Frame{Destination: ethernet.Broadcast, Source: macB}
			tt.edit(p, f)
			a, ok := answerARP(p, f, macA, finder(ours))
			if ok != tt.want || (ok && a.mac.String() != macA.String()) {
				t.Errorf("answered %v with %v, want %v", ok, a.mac, tt.want)
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
	if diff := cmp.Diff(want, gratuitous(a, macA), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
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
		if _, ok := answerARP(&p, &frame, macA, finder(ours)); ok && (p.TargetIP != ours || !station(p.SenderHardwareAddr)) {
			t.Errorf("answered %+v", p)
		}
	})
}
