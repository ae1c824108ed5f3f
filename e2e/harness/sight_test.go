package harness

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

func TestSightIn(t *testing.T) {
	here, there := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	four, asker := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	six, link := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")
	onARP := func(op arp.Operation, mac net.HardwareAddr, from, to netip.Addr) []byte {
		p, err := arp.NewPacket(op, mac, from, there, to)
		if err != nil {
			t.Fatal(err)
		}
		body, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return append(append(append([]byte{}, there...), append(here, 0x08, 0x06)...), body...)
	}
	onNDP := func(m ndp.Message) []byte {
		body, err := ndp.MarshalMessageChecksum(m, link, six)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, ip6Header)
		head[0], head[5], head[6], head[7] = 0x60, byte(len(body)), protoICMPv6, 255
		return append(append(append(append([]byte{}, there...), append(here, 0x86, 0xdd)...), head...), body...)
	}
	na := func(solicited bool, options ...ndp.Option) []byte {
		return onNDP(&ndp.NeighborAdvertisement{Solicited: solicited, TargetAddress: six, Options: options})
	}
	named := &ndp.LinkLayerAddress{Direction: ndp.Target, Addr: there}
	for _, tc := range []struct {
		name  string
		frame []byte
		want  *Sight
	}{
		{"reply", onARP(arp.OperationReply, here, four, asker), &Sight{Addr: four, MAC: here.String(), From: here.String()}},
		{"reply for another", onARP(arp.OperationReply, there, four, asker), &Sight{Addr: four, MAC: there.String(), From: here.String()}},
		{"gratuitous request", onARP(arp.OperationRequest, here, four, four), &Sight{Addr: four, MAC: here.String(), From: here.String(), Unasked: true}},
		{"gratuitous reply", onARP(arp.OperationReply, here, four, four), &Sight{Addr: four, MAC: here.String(), From: here.String(), Unasked: true}},
		{"probe", onARP(arp.OperationRequest, here, netip.IPv4Unspecified(), four), nil},
		{"answer", na(true), &Sight{Addr: six, MAC: here.String(), From: here.String()}},
		{"answer for another", na(true, named), &Sight{Addr: six, MAC: there.String(), From: here.String()}},
		{"unasked", na(false, named), &Sight{Addr: six, MAC: there.String(), From: here.String(), Unasked: true}},
		{"solicitation", onNDP(&ndp.NeighborSolicitation{TargetAddress: six}), nil},
		{"cut", na(true)[:60], nil},
		{"short", []byte{1, 2, 3}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := sightIn(tc.frame)
			if ok != (tc.want != nil) {
				t.Fatalf("%+v, %t", got, ok)
			}
			if ok {
				if diff := cmp.Diff(*tc.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	began := time.Unix(0, 0)
	sights := func(macs string) (all []Sight) {
		for i, m := range macs {
			all = append(all, Sight{At: began.Add(time.Duration(i+1) * time.Second), MAC: string(m), Unasked: m == 'b'})
		}
		return all
	}
	for macs, want := range map[string]struct{ stayed, moved bool }{
		"":       {},
		"aaa":    {stayed: true},
		"aaabbb": {moved: true},
		"bbb":    {moved: true},
		"aabab":  {},
		"abc":    {},
	} {
		if got := Stayed(sights(macs), "a") == nil; got != want.stayed {
			t.Errorf("%s stayed: %t", macs, got)
		}
		if got := Moved(sights(macs), "a", "b") == nil; got != want.moved {
			t.Errorf("%s moved: %t", macs, got)
		}
	}
	if at, err := Announced(sights("aabb"), "b"); err != nil || !at.Equal(began.Add(3*time.Second)) {
		t.Errorf("announced at %v, %v", at, err)
	}
	if _, err := Announced(sights("aaaa"), "a"); err == nil {
		t.Error("an answer was taken for an announcement")
	}
	silent := append(sights("aa"), Sight{At: began.Add(9 * time.Second)})
	if got := Silent(silent, began); got != 7*time.Second {
		t.Errorf("silent for %v", got)
	}
	if got := Silent(nil, began); got != 0 {
		t.Errorf("silent for %v with no answer at all", got)
	}
}
