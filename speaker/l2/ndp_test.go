package l2

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/ndp"
)

var (
	target6  = netip.MustParseAddr("2001:db8::1")
	ourIface = Interface{Name: "eth0", Index: 1, MAC: macA, LinkLocal: netip.MustParseAddr("fe80::a"), Up: true}
)

func TestParseSolicitation(t *testing.T) {
	other := net.HardwareAddr{2, 0, 0, 0, 0, 0xc}
	probe := func(p *nsParts) { p.src, p.ns.Options = netip.IPv6Unspecified(), nil }
	nonce := ndp.NewNonce()
	tests := []struct {
		name  string
		edit  func(*nsParts)
		asker net.HardwareAddr // nil: refused
	}{
		{"multicast", func(*nsParts) {}, macB},
		{"unicast", func(p *nsParts) { p.dst = target6 }, macB},
		{"without source link-layer address", func(p *nsParts) { p.ns.Options, p.from = nil, other }, other},
		{"option differs from frame", func(p *nsParts) { p.from = other }, macB},
		{"unknown option", func(p *nsParts) {
			p.ns.Options = append(p.ns.Options, &ndp.RawOption{Type: 200, Length: 1, Value: make([]byte, 6)})
		}, macB},
		{"probe", probe, macB},
		{"probe with nonce (RFC 7527)", func(p *nsParts) { probe(p); p.ns.Options = []ndp.Option{nonce} }, macB},
		{"probe with source link-layer address", func(p *nsParts) { p.src = netip.IPv6Unspecified() }, nil},
		{"probe to a unicast address", func(p *nsParts) { probe(p); p.dst = target6 }, nil},
		{"hop limit", func(p *nsParts) { p.hops = 254 }, nil},
		{"multicast target", func(p *nsParts) { p.ns.TargetAddress = netip.MustParseAddr("ff02::1") }, nil},
		{"multicast source", func(p *nsParts) { p.src = netip.MustParseAddr("ff02::1") }, nil},
		{"group as asker", func(p *nsParts) { p.ns.Options, p.from = nil, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1} }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ok := parseSolicitation(nsFrame(target6, tt.edit))
			if ok != (tt.asker != nil) || (ok && !bytes.Equal(s.asker[:], tt.asker)) {
				t.Errorf("accepted %v, asker %v, want %v", ok, s.asker, tt.asker)
			}
		})
	}
}

func TestParseSolicitationRefusesDamage(t *testing.T) {
	good := nsFrame(target6, nil)
	for i := ethLen + 4; i < len(good); i++ { // neither the frame's own addresses nor traffic class and flow label are checked
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, ok := parseSolicitation(bad); ok {
			t.Errorf("accepted with byte %d damaged", i)
		}
	}
	for n := range good {
		if _, ok := parseSolicitation(good[:n]); ok {
			t.Errorf("accepted cut to %d bytes", n)
		}
	}
	if _, ok := parseSolicitation(append(bytes.Clone(good), 0, 0, 0)); !ok {
		t.Error("refused because of padding")
	}
}

func TestAdvertisements(t *testing.T) {
	message := func(solicited bool) ndp.NeighborAdvertisement {
		return ndp.NeighborAdvertisement{
			Router: true, Override: true, Solicited: solicited, TargetAddress: target6,
			Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: macA}},
		}
	}
	asked := hearNDP(nsFrame(target6, nil), MAC(macA))
	everybody := advertisement{
		message: message(false), from: MAC(macA), to: MAC{0x33, 0x33, 0, 0, 0, 1},
		src: ourIface.LinkLocal, dst: netip.MustParseAddr("ff02::1"),
	}
	one := advertisement{message: message(true), from: MAC(macA), to: MAC(macB), src: ourIface.LinkLocal, dst: netip.MustParseAddr("fe80::b")}
	a := answer{role: owned, mac: MAC(macA)}
	unasked := advertise(MAC(macA), ourIface.LinkLocal, target6, a)
	instead := advertisement{
		message: ndp.NeighborAdvertisement{
			Router: true, Solicited: true, TargetAddress: target6,
			Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: net.HardwareAddr{2, 0, 0, 0, 0, 0xc}}},
		},
		from: MAC(macA), to: MAC(macB), src: ourIface.LinkLocal, dst: netip.MustParseAddr("fe80::b"),
	}
	standIn := advertise(MAC(macA), ourIface.LinkLocal, target6, answer{role: standing, mac: MAC{2, 0, 0, 0, 0, 0xc}})
	for name, tt := range map[string]struct{ got, want advertisement }{
		"unasked":  {unasked, everybody},
		"to asker": {unasked.inReplyTo(asked), one},
		"instead":  {standIn.inReplyTo(asked), instead},
	} {
		if diff := cmp.Diff(tt.want, tt.got, cmp.AllowUnexported(advertisement{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		frame, err := tt.got.frame()
		if err != nil {
			t.Fatal(err)
		}
		body, src, dst, ok := icmpv6(frame)
		if !ok || src != tt.want.src || dst != tt.want.dst || !bytes.Equal(frame[:6], tt.want.to[:]) || !bytes.Equal(frame[6:12], macA) {
			t.Errorf("%s: wrong frame % x", name, frame)
		}
		m, err := ndp.ParseMessage(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&tt.want.message, m, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s on the wire: %s", name, diff)
		}
	}
}

func FuzzNDP(f *testing.F) {
	f.Add(nsFrame(target6, nil))
	f.Add(naFrame(target6, nil))
	f.Add(nsFrame(target6, func(p *nsParts) { p.src, p.ns.Options = netip.IPv6Unspecified(), nil }))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h := hearNDP(frame, MAC(macA))
		if (h.asked.IsValid() || h.claimed.IsValid()) && !h.from.station() {
			t.Errorf("heard %+v", h)
		}
		if !h.asked.IsValid() {
			return
		}
		ad := advertise(MAC(macA), ourIface.LinkLocal, h.asked, answer{role: owned, mac: MAC(macA)})
		reply, err := ad.inReplyTo(h).frame()
		if err != nil {
			t.Fatalf("cannot answer %+v: %v", h, err)
		}
		if _, _, _, ok := icmpv6(reply); !ok || reply[0]&1 == 1 {
			t.Errorf("invalid answer to %+v", h)
		}
	})
}

// naFrame is an advertisement to all nodes, changed by edit before its checksum is made.
func naFrame(target netip.Addr, edit func(*advertisement)) []byte {
	a := advertise(MAC(macB), netip.MustParseAddr("fe80::b"), target, answer{role: owned, mac: MAC(macB)})
	if edit != nil {
		edit(&a)
	}
	frame, err := a.frame()
	if err != nil {
		panic(err)
	}
	return frame
}

func TestHearNDP(t *testing.T) {
	own, from, other := MAC(macA), MAC(macB), MAC{2, 0, 0, 0, 0, 0xc}
	asker := netip.MustParseAddr("fe80::b")
	named := func(m MAC) []ndp.Option {
		return []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: m[:]}}
	}
	tests := []struct {
		name  string
		frame []byte
		want  heard
	}{
		{"solicitation", nsFrame(target6, nil), heard{from: from, asked: target6, source: asker, claimed: asker}},
		{"probe", nsFrame(target6, func(p *nsParts) { p.src, p.ns.Options = netip.IPv6Unspecified(), nil }),
			heard{from: from, asked: target6, source: netip.IPv6Unspecified(), probe: true}},
		{"advertisement", naFrame(target6, nil), heard{from: from, claimed: target6}},
		{"advertisement without option", naFrame(target6, func(a *advertisement) { a.message.Options = nil }), heard{from: from, claimed: target6}},
		{"advertisement of a stand-in", naFrame(target6, func(a *advertisement) { a.message.Options = named(other) }), heard{from: other, claimed: target6}},
		{"solicited, but to everybody", naFrame(target6, func(a *advertisement) { a.message.Solicited = true }), heard{}},
		{"for a group", naFrame(netip.MustParseAddr("ff02::1"), nil), heard{}},
		{"from a group", naFrame(target6, func(a *advertisement) { a.message.Options = named(MAC{1}) }), heard{}},
		{"our own come back", naFrame(target6, func(a *advertisement) { a.from = own }), heard{}},
		{"of a stand-in for us", naFrame(target6, func(a *advertisement) { a.message.Options = named(own) }), heard{}},
		{"neither", naFrame(target6, nil)[:40], heard{}},
	}
	for _, tt := range tests {
		if got := hearNDP(tt.frame, own); got != tt.want {
			t.Errorf("%s: heard %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestDuplicateProbe(t *testing.T) {
	frame, err := duplicateProbe(MAC(macB), target6)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nsFrame(target6, func(p *nsParts) { p.src, p.ns.Options = netip.IPv6Unspecified(), nil }), frame); diff != "" {
		t.Error(diff)
	}
}
