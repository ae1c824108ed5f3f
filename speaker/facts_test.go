package speaker

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
)

var equalPrefixes = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func eth0() l2.Interface {
	return l2.Interface{
		Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		Prefixes:  prefixes("192.0.2.1/24", "192.0.2.7/24", "2001:db8::1/64", "fe80::1/64"),
		LinkLocal: netip.MustParseAddr("fe80::1"),
	}
}

// TestFactsOnTheWire fixes what speakers of two versions say to each other.
func TestFactsOnTheWire(t *testing.T) {
	claim := func(a string, epoch uint64, from string, fresh bool) plan.Claim {
		return plan.Claim{Addr: netip.MustParseAddr(a), Epoch: epoch, From: from, Fresh: fresh}
	}
	said := plan.Facts{
		Claims: []plan.Claim{
			claim("192.0.2.7", 1, "", false), claim("192.0.2.8", 1, "", false), claim("192.0.2.9", 2, "n2", false),
			claim("192.0.2.10", 1, "", true), claim("2001:db8::7", 1, "", false),
		},
		Ceded:  []plan.Cession{{Addr: netip.MustParseAddr("192.0.2.11"), To: "n3", Epoch: 3}},
		Absent: map[string][]plan.Claim{"n4": {claim("192.0.2.12", 1, "", false)}},
		Heard:  map[netip.Addr]string{netip.MustParseAddr("192.0.2.13"): "n5"},
	}
	f := facts{
		Interfaces: interfacesOf([]l2.Interface{eth0(), {Name: "eth1"}}), Dataplane: plan.DataplaneHealthy, Steady: true,
		Verdicts: map[string]string{"n6": "silent"},
	}
	f.told(said)
	b, err := f.encode()
	must(t, err)
	want := `{"interfaces":[` +
		`{"name":"eth0","mac":"02:00:00:00:00:01","up":true,"ipv4":true,"ipv6":true,"prefixes":["192.0.2.0/24","2001:db8::/64","fe80::/64"]},` +
		`{"name":"eth1","up":false,"ipv4":false,"ipv6":false}],` +
		`"claims":[{"epoch":1,"addresses":["192.0.2.7-192.0.2.8","2001:db8::7"]},{"epoch":1,"fresh":true,"addresses":["192.0.2.10"]},` +
		`{"epoch":2,"from":"n2","addresses":["192.0.2.9"]}],` +
		`"ceded":[{"to":"n3","epoch":3,"addresses":["192.0.2.11"]}],` +
		`"absent":{"n4":[{"epoch":1,"addresses":["192.0.2.12"]}]},` +
		`"verdicts":{"n6":"silent"},"heard":{"192.0.2.13":"n5"},"steady":true,"dataplane":"healthy"}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	got, err := decodeFacts(b)
	must(t, err)
	if diff := cmp.Diff(said, got.plan, equalPrefixes); diff != "" {
		t.Error(diff)
	}
}

func TestParties(t *testing.T) {
	var f facts
	f.told(plan.Facts{
		Claims: []plan.Claim{
			{Addr: netip.MustParseAddr("192.0.2.7"), Epoch: 1, From: "n3"}, {Addr: netip.MustParseAddr("192.0.2.8"), Epoch: 1},
			{Addr: netip.MustParseAddr("192.0.2.9"), Epoch: 2, From: "n3"},
		},
		Ceded: []plan.Cession{{Addr: netip.MustParseAddr("192.0.2.11"), To: "n2", Epoch: 3}},
	})
	if diff := cmp.Diff([]string{"n2", "n3"}, f.parties()); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeFacts(t *testing.T) {
	tests := []struct {
		name, wire string
		want       []plan.Interface
		fails      bool
	}{
		{name: "no interfaces", wire: `{"interfaces":[]}`},
		{name: "one", wire: `{"interfaces":[{"name":"a","up":true,"ipv4":true,"prefixes":["192.0.2.0/24"]}]}`,
			want: []plan.Interface{{Name: "a", Up: true, IPv4: true, Prefixes: prefixes("192.0.2.0/24")}}},
		{name: "fields of a later version", wire: `{"links":1,"interfaces":[{"name":"a","speed":1}]}`, want: []plan.Interface{{Name: "a"}}},
		{name: "a claim on no address", wire: `{"claims":[{"epoch":1,"addresses":["all"]}]}`, fails: true},
		{name: "a claim on all addresses", wire: `{"claims":[{"epoch":1,"addresses":["0.0.0.0-255.255.255.255"]}]}`, fails: true},
		{name: "a claim on more than all", wire: `{"absent":{"n1":[{"epoch":1,"addresses":["::/0"]}]}}`, fails: true},
		{name: "another type", wire: `{"interfaces":"eth0"}`, fails: true},
		{name: "a bad prefix", wire: `{"interfaces":[{"name":"a","prefixes":["192.0.2.0/99"]}]}`, fails: true},
		{name: "nothing", wire: ``, fails: true},
		{name: "no JSON", wire: "\x00", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeFacts([]byte(tt.wire))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got.Interfaces, equalPrefixes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBook reads what one node says, step after step.
func TestBook(t *testing.T) {
	b := book{}
	steps := []struct {
		name  string
		raw   string // "": nothing has arrived
		want  string // name of the one interface
		fails bool
	}{
		{name: "before anything arrived"},
		{name: "first", raw: `{"interfaces":[{"name":"a"}]}`, want: "a"},
		{name: "the same", raw: `{"interfaces":[{"name":"a"}]}`, want: "a"},
		{name: "gone and back, not yet told again", want: "a"},
		{name: "others", raw: `{"interfaces":[{"name":"b"}]}`, want: "b"},
		{name: "not understood", raw: `[]`, fails: true},
		{name: "still not, said once", raw: `[]`},
		{name: "understood again", raw: `{"interfaces":[{"name":"c"}]}`, want: "c"},
	}
	for _, s := range steps {
		var raw []byte
		if s.raw != "" {
			raw = []byte(s.raw)
		}
		f, err := b.read("n1", raw)
		if (err != nil) != s.fails {
			t.Fatalf("%s: error %v", s.name, err)
		}
		var got string
		if len(f.Interfaces) > 0 {
			got = f.Interfaces[0].Name
		}
		if got != s.want {
			t.Errorf("%s: got %q, want %q", s.name, got, s.want)
		}
	}
	b.keep(map[string]bool{"n1": true})
	if len(b) != 1 {
		t.Error("a node of the cluster is forgotten")
	}
	if b.keep(nil); len(b) != 0 {
		t.Error("a node that is gone is remembered")
	}
}
