package wire

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func header(length uint16, typ byte) (h [HeaderLen]byte) {
	for i := range 16 {
		h[i] = 0xff
	}
	h[16], h[17], h[18] = byte(length>>8), byte(length), typ
	return h
}

func TestParseHeader(t *testing.T) {
	broken := header(19, 4)
	broken[3] = 0
	tests := []struct {
		name string
		h    [HeaderLen]byte
		typ  Type
		rest int
		sub  uint8
	}{
		{"KEEPALIVE", header(19, 4), TypeKeepalive, 0, 0},
		{"longest UPDATE", header(4096, 2), TypeUpdate, 4077, 0},
		{"shortest OPEN", header(29, 1), TypeOpen, 10, 0},
		{"marker", broken, 0, 0, 1},
		{"too short", header(18, 4), 0, 0, 2},
		{"too long", header(4097, 2), 0, 0, 2},
		{"KEEPALIVE with a body", header(20, 4), 0, 0, 2},
		{"OPEN too short", header(28, 1), 0, 0, 2},
		{"UPDATE too short", header(22, 2), 0, 0, 2},
		{"NOTIFICATION too short", header(20, 3), 0, 0, 2},
		{"ROUTE-REFRESH too short", header(22, 5), 0, 0, 2},
		{"type 0", header(19, 0), 0, 0, 3},
		{"type 6", header(19, 6), 0, 0, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			typ, rest, err := ParseHeader(tt.h)
			var n *Notification
			if tt.sub != 0 {
				if !errors.As(err, &n) || n.Code != CodeHeader || n.Subcode != tt.sub {
					t.Errorf("error %v, want 1/%d", err, tt.sub)
				}
				return
			}
			if err != nil || typ != tt.typ || rest != tt.rest {
				t.Errorf("%v, %d, %v; want %v, %d", typ, rest, err, tt.typ, tt.rest)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	now := time.Now()
	steps := []struct {
		name  string
		after time.Duration
		typ   Type
		body  []byte
		want  Verdict
		err   bool
	}{
		{"a KEEPALIVE passes", 0, TypeKeepalive, nil, Pass, false},
		{"the first UPDATE is a sign of life", 0, TypeUpdate, nil, StandIn, false},
		{"the next is not needed", 10 * time.Millisecond, TypeUpdate, nil, Drop, false},
		{"a NOTIFICATION passes", 0, TypeNotification, []byte{6, 2}, Pass, false},
		{"a second later one is", time.Second, TypeUpdate, nil, StandIn, false},
		{"refresh of IPv4", 0, TypeRouteRefresh, []byte{0, 1, 0, 1}, Pass, false},
		{"refresh of IPv6", 0, TypeRouteRefresh, []byte{0, 2, 0, 1}, Pass, false},
		{"end of enhanced refresh", 0, TypeRouteRefresh, []byte{0, 2, 2, 1}, Pass, false},
		{"refresh of an unknown kind", 0, TypeRouteRefresh, []byte{0, 2, 3, 1}, Drop, false},
		{"refresh of VPN routes", 0, TypeRouteRefresh, []byte{0, 1, 0, 128}, Drop, false},
		{"refresh with filters", 0, TypeRouteRefresh, []byte{0, 1, 0, 1, 1, 64, 0, 0}, Drop, false},
		{"a second OPEN", 0, TypeOpen, make([]byte, 10), Drop, true},
	}
	var f Filter
	for _, s := range steps {
		now = now.Add(s.after)
		got, err := f.Judge(now, s.typ, s.body)
		if got != s.want || (err != nil) != s.err {
			t.Errorf("%s: %v, %v; want %v, error %v", s.name, got, err, s.want, s.err)
		}
	}
}

func TestNotificationInWords(t *testing.T) {
	tests := []struct {
		n    Notification
		want string
	}{
		{Notification{Code: 2, Subcode: 2}, "OPEN refused, bad peer AS (2/2)"},
		{Notification{Code: 4}, "hold timer expired (4/0)"},
		{Notification{Code: 6, Subcode: 10}, "cease, BFD down (6/10)"},
		{Notification{Code: 6, Subcode: 200}, "cease (6/200)"},
		{Notification{Code: 99, Subcode: 1}, "unknown error (99/1)"},
		{*Shutdown("back at noon"), `cease, administrative shutdown: "back at noon" (6/2)`},
		{Notification{Code: 6, Subcode: 4, Data: []byte{200, 'h', 'i'}}, `cease, administrative reset: "hi" (6/4)`},
		{Notification{Code: 6, Subcode: 2, Data: []byte("\x08a\x1b[2Jb\xff\n")}, `cease, administrative shutdown: "a[2Jb" (6/2)`},
		{Notification{Code: 6, Subcode: 3, Data: []byte("\x02hi")}, "cease, peer de-configured (6/3)"},
	}
	for _, tt := range tests {
		if got := tt.n.Error(); got != tt.want {
			t.Errorf("%v: %s; want %s", tt.n, got, tt.want)
		}
	}
}

func TestShutdownTextIsCutBetweenRunes(t *testing.T) {
	n := Shutdown(strings.Repeat("a", 254) + "ö")
	if got := n.Text(); got != strings.Repeat("a", 254) || int(n.Data[0]) != len(n.Data)-1 {
		t.Errorf("%d bytes: %q", len(n.Data), got)
	}
}

func FuzzNotification(f *testing.F) {
	f.Add([]byte{6, 2, 3, 'a', 'b', 'c'})
	f.Add([]byte{6, 2, 255})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, body []byte) {
		n := ParseNotification(body)
		if len(n.Error()) > 2048 {
			t.Errorf("%d bytes of words for %d", len(n.Error()), len(body))
		}
		if _, _, err := ParseHeader([HeaderLen]byte(n.Append(nil))); err != nil {
			t.Error(err)
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add(byte(5), []byte{0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		var filter Filter
		verdict, err := filter.Judge(time.Now(), Type(typ), body)
		if err == nil && verdict == Pass && Type(typ) == TypeUpdate {
			t.Error("an UPDATE passes")
		}
		if verdict == Pass && len(body) > 4 && Type(typ) == TypeRouteRefresh {
			t.Error("a long ROUTE-REFRESH passes")
		}
	})
}
