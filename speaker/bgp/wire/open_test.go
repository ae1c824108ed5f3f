package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var addrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func full() Open {
	return Open{
		ASN: 4200000001, HoldTime: 9, RouterID: netip.MustParseAddr("192.0.2.1"), Families: IPv4 | IPv6, RouteRefresh: true,
		FourOctetASN: true, IPv4OverIPv6: true,
		Graceful: Graceful{Present: true, Restarting: true, Time: 120, Families: IPv4 | IPv6, Forwarding: IPv6},
	}
}

func TestOpenThereAndBack(t *testing.T) {
	plain := Open{ASN: 64512, HoldTime: 90, RouterID: netip.MustParseAddr("192.0.2.1"), Families: IPv4}
	for name, o := range map[string]Open{"full": full(), "plain": plain} {
		t.Run(name, func(t *testing.T) {
			b := o.Append(nil)
			typ, length, err := ParseHeader([HeaderLen]byte(b))
			if err != nil || typ != TypeOpen || length != len(b)-HeaderLen {
				t.Fatalf("header: %v, %d, %v", typ, length, err)
			}
			got, err := ParseOpen(b[HeaderLen:])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(o, got, addrs); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestOpenBytes pins the message down byte by byte, as the RFCs draw it.
func TestOpenBytes(t *testing.T) {
	want := strings.Join([]string{
		strings.Repeat("ff", 16), "0051", "01",
		"04", "5ba0", "0009", "c0000201", "34",
		"0206 0104 0001 00 01", "0206 0104 0002 00 01", "0202 0200", "0208 0506 0001 0001 0002",
		"020c 400a 8078 0001 01 00 0002 01 80", "0206 4104 fa56ea01",
	}, "")
	want = strings.ReplaceAll(want, " ", "")
	if diff := cmp.Diff(want, hex.EncodeToString(full().Append(nil))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseOpen(t *testing.T) {
	const head = "04 fc00 0009 c0000201 "
	tests := []struct {
		name, body string
		want       Open
		code, sub  uint8
	}{
		{name: "no capabilities", body: head + "00", want: Open{Families: IPv4}},
		{name: "only IPv6", body: head + "08 0206 0104 0002 00 01", want: Open{Families: IPv6}},
		{name: "two in one parameter", body: head + "0a 0208 0104 0001 00 01 0200", want: Open{Families: IPv4, RouteRefresh: true}},
		{name: "foreign families only", body: head + "08 0206 0104 0001 00 80", want: Open{}},
		{name: "unknown capability", body: head + "07 0205 4903 616263", want: Open{Families: IPv4}},
		{name: "multiprotocol of another length", body: head + "06 0204 0102 0001", want: Open{}},
		{name: "helper of graceful restart", body: head + "06 0204 4002 0078", want: Open{Families: IPv4, Graceful: Graceful{Present: true, Time: 120}}},
		{name: "long parameters", body: head + "ff ff 0009 02 0006 0104 0002 00 01", want: Open{Families: IPv6}},
		{name: "next hops for another family", body: head + "0a 0208 0506 0002 0001 0002", want: Open{Families: IPv4}},

		{name: "empty", body: "", code: 2},
		{name: "version 3", body: "03 fc00 0009 c0000201 00", code: 2, sub: 1},
		{name: "no router ID", body: "04 fc00 0009 00000000 00", code: 2, sub: 3},
		{name: "authentication parameter", body: head + "03 0101 00", code: 2, sub: 4},
		{name: "parameters too short", body: head + "05 0200", code: 2},
		{name: "parameters too long", body: head + "00 0200", code: 2},
		{name: "parameter beyond the end", body: head + "03 0209 00", code: 2},
		{name: "half a parameter", body: head + "01 02", code: 2},
		{name: "capability beyond the end", body: head + "04 0202 0104", code: 2},
		{name: "long parameters cut short", body: head + "ff ff 0009 02 0006", code: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, err := hex.DecodeString(strings.ReplaceAll(tt.body, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseOpen(body)
			if tt.code != 0 {
				var n *Notification
				if !errors.As(err, &n) || n.Code != tt.code || n.Subcode != tt.sub {
					t.Fatalf("error %v, want %d/%d", err, tt.code, tt.sub)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ASN, tt.want.HoldTime, tt.want.RouterID = 64512, 9, netip.MustParseAddr("192.0.2.1")
			if diff := cmp.Diff(tt.want, got, addrs); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	us := full()
	them := Open{
		ASN: 64513, HoldTime: 90, RouterID: netip.MustParseAddr("198.51.100.1"), Families: IPv4, RouteRefresh: true, FourOctetASN: true,
		IPv4OverIPv6: true, Graceful: Graceful{Present: true, Time: 60},
	}
	tests := []struct {
		name   string
		offer  Offer
		change func(*Open)
		want   Session
		sub    uint8
	}{
		{name: "agreed", offer: Offer{PeerASN: 64513}, want: Session{
			PeerASN: 64513, HoldTime: 9, Families: IPv4, IPv4OverIPv6: true, Graceful: IPv4,
		}},
		{name: "shorter hold time", offer: Offer{PeerASN: 64513}, change: func(o *Open) { o.HoldTime = 3 }, want: Session{
			PeerASN: 64513, HoldTime: 3, Families: IPv4, IPv4OverIPv6: true, Graceful: IPv4,
		}},
		{name: "no extras", offer: Offer{}, change: func(o *Open) { o.Graceful, o.IPv4OverIPv6 = Graceful{}, false }, want: Session{
			PeerASN: 64513, HoldTime: 9, Families: IPv4,
		}},
		{name: "internal", offer: Offer{Internal: true}, change: func(o *Open) { o.ASN = us.ASN }, want: Session{
			PeerASN: us.ASN, Internal: true, HoldTime: 9, Families: IPv4, IPv4OverIPv6: true, Graceful: IPv4,
		}},
		{name: "wrong ASN", offer: Offer{PeerASN: 64514}, sub: 2},
		{name: "ASN 0", change: func(o *Open) { o.ASN = 0 }, sub: 2},
		{name: "not internal", offer: Offer{Internal: true}, sub: 2},
		{name: "not external", change: func(o *Open) { o.ASN = us.ASN }, sub: 2},
		{name: "hold time 0", change: func(o *Open) { o.HoldTime = 0 }, sub: 6},
		{name: "hold time 2", change: func(o *Open) { o.HoldTime = 2 }, sub: 6},
		{name: "our router ID outside", change: func(o *Open) { o.RouterID = us.RouterID }, want: Session{
			PeerASN: 64513, HoldTime: 9, Families: IPv4, IPv4OverIPv6: true, Graceful: IPv4,
		}},
		{name: "our router ID inside", offer: Offer{Internal: true}, change: func(o *Open) { o.ASN, o.RouterID = us.ASN, us.RouterID }, sub: 3},
		{name: "no family", change: func(o *Open) { o.Families = 0 }, sub: 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peer := them
			if tt.change != nil {
				tt.change(&peer)
			}
			tt.offer.Open = us
			got, err := tt.offer.Check(peer)
			var n *Notification
			switch {
			case tt.sub != 0 && (!errors.As(err, &n) || n.Code != CodeOpen || n.Subcode != tt.sub):
				t.Errorf("error %v, want 2/%d", err, tt.sub)
			case tt.sub == 0 && err != nil:
				t.Error(err)
			case tt.sub == 0:
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
		})
	}
}

func TestInner(t *testing.T) {
	peer := full()
	s := Session{HoldTime: 9, Families: IPv6, Graceful: IPv6}
	got := s.Inner(peer, 65534)
	want := Open{
		ASN: 65534, HoldTime: 9, RouterID: peer.RouterID, Families: IPv6, RouteRefresh: true, FourOctetASN: true,
		Graceful: Graceful{Present: true, Time: 120, Families: IPv6},
	}
	if diff := cmp.Diff(want, got, addrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// FuzzParseOpen: whatever is understood of a body can be said again, and is then understood as the same.
func FuzzParseOpen(f *testing.F) {
	f.Add(full().Append(nil)[HeaderLen:])
	f.Add([]byte{4, 0xfc, 0, 0, 9, 192, 0, 2, 1, 0})
	f.Add([]byte{4, 0xfc, 0, 0, 9, 192, 0, 2, 1, 255, 255, 0, 9, 2, 0, 6, 1, 4, 0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := ParseOpen(body)
		if err != nil {
			var n *Notification
			if !errors.As(err, &n) || n.Code != CodeOpen {
				t.Fatalf("error %v is no answer", err)
			}
			return
		}
		if o.Families == 0 {
			return // says nothing of any family that we know: saying so would mean IPv4
		}
		again, err := ParseOpen(o.Append(nil)[HeaderLen:])
		if err != nil {
			t.Fatalf("%+v cannot be said: %v", o, err)
		}
		o.Graceful.Forwarding &= o.Graceful.Families
		if diff := cmp.Diff(o, again, addrs); diff != "" && o.ASN <= 0xffff || o.FourOctetASN && diff != "" {
			t.Fatalf("(-said +heard)\n%s", diff)
		}
	})
}
