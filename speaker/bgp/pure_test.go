package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "github.com/osrg/gobgp/v3/api"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

var values = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.AllowUnexported(hops{}),
}

func TestBackoff(t *testing.T) {
	steps := []struct {
		lasted time.Duration
		jitter float64
		want   time.Duration
	}{
		{0, 0, 500 * time.Millisecond},
		{0, 0, time.Second},
		{0, 0.5, 1750 * time.Millisecond},
		{time.Second, 0, 4 * time.Second}, // a session that short is a failure like any other
		{0, 0, 8 * time.Second},
		{0, 0, 10 * time.Second},
		{0, 0, 10 * time.Second},
		{10 * time.Second, 0, 500 * time.Millisecond},
		{0, 0, time.Second},
	}
	var b backoff
	for i, s := range steps {
		if got := b.next(s.lasted, 10*time.Second, s.jitter); got != s.want {
			t.Errorf("step %d: %s, want %s", i, got, s.want)
		}
	}
	for range 100 {
		b.next(0, time.Hour, 0)
	}
	if got := b.next(0, time.Hour, 0); got != time.Hour {
		t.Errorf("after many: %s", got)
	}
	b.reset()
	if got := b.next(0, time.Hour, 0); got != leastPause {
		t.Errorf("after a reset: %s", got)
	}
}

func TestSettle(t *testing.T) {
	a := netip.MustParseAddr
	both := wire.Session{Families: wire.IPv4 | wire.IPv6}
	mixed := wire.Session{Families: wire.IPv4 | wire.IPv6, IPv4OverIPv6: true}
	tests := []struct {
		name     string
		s        Session
		local    string
		siblings []string
		agreed   wire.Session
		v4, v6   string
	}{
		{"own address and the one beside it", Session{}, "10.0.0.1", []string{"fe80::1", "fd00::1"}, both, "10.0.0.1", "fd00::1"},
		{"only link-local beside it", Session{}, "10.0.0.1", []string{"fe80::1"}, both, "10.0.0.1", "fe80::1"},
		{"over IPv6", Session{}, "fd00::1", []string{"fd00::2", "10.0.0.1"}, both, "10.0.0.1", "fd00::1"},
		{"over link-local IPv6", Session{}, "fe80::1%eth0", []string{"fd00::2"}, both, "", "fd00::2"},
		{"no IPv4 address, mixed", Session{}, "fd00::1", nil, mixed, "fd00::1", "fd00::1"},
		{"no IPv4 address, not mixed", Session{}, "fd00::1", nil, both, "", "fd00::1"},
		{"unnumbered", Session{Interface: "eth0"}, "fe80::1%eth0", []string{"10.0.0.1"}, mixed, "fe80::1%eth0", "fe80::1%eth0"},
		{"as told", Session{NextHop4: a("10.9.9.9"), NextHop6: a("fd09::9")}, "10.0.0.1", []string{"fd00::1"}, both, "10.9.9.9", "fd09::9"},
		{"IPv4 by way of IPv6, as told", Session{NextHop4: a("fd09::9")}, "10.0.0.1", []string{"fd00::1"}, mixed, "fd09::9", "fd00::1"},
		{"loopback is none", Session{}, "127.0.0.1", []string{"::1"}, both, "", ""},
		{"mapped", Session{}, "::ffff:10.0.0.1", nil, both, "10.0.0.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var beside []netip.Addr
			for _, s := range tt.siblings {
				beside = append(beside, a(s))
			}
			want := hops{families: tt.agreed.Families, mixed: tt.agreed.IPv4OverIPv6}
			if tt.v4 != "" {
				want.v4 = a(tt.v4)
			}
			if tt.v6 != "" {
				want.v6 = a(tt.v6)
			}
			if diff := cmp.Diff(want, settle(tt.s, a(tt.local), beside, tt.agreed), values); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDiffer(t *testing.T) {
	p := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32) }
	hop := netip.MustParseAddr("192.0.2.1")
	running := map[netip.Prefix]said{
		p(1): {&Route{}, hop}, p(2): {&Route{}, hop}, p(3): {nextHop: hop, route: &Route{Communities: []Community{1}}}, p(4): {&Route{}, hop},
	}
	desired := map[netip.Prefix]said{
		p(1): {&Route{}, hop}, p(2): {&Route{}, hop.Next()}, p(3): {nextHop: hop, route: &Route{Communities: []Community{2}}}, p(5): {&Route{}, hop},
	}
	add, remove := differ(running, desired)
	slices.SortFunc(add, netip.Prefix.Compare)
	if diff := cmp.Diff([]netip.Prefix{p(2), p(3), p(5)}, add, values); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]netip.Prefix{p(4)}, remove, values); diff != "" {
		t.Error(diff)
	}
}

func TestRouteEqual(t *testing.T) {
	base := func() Route {
		return Route{Communities: []Community{1}, LargeCommunities: []LargeCommunity{{1, 2, 3}}, ExtendedCommunities: []ExtendedCommunity{{1}}}
	}
	if !base().equal(base()) {
		t.Error("a route is not equal to itself")
	}
	for name, change := range map[string]func(*Route){
		"next hop": func(r *Route) { r.NextHop = netip.MustParseAddr("192.0.2.1") }, "community": func(r *Route) { r.Communities = nil },
		"large": func(r *Route) { r.LargeCommunities[0][2] = 9 }, "extended": func(r *Route) { r.ExtendedCommunities[0][0] = 9 },
		"preference": func(r *Route) { r.LocalPref = Some(0) }, "MED": func(r *Route) { r.MED = Some(0) }, "prepend": func(r *Route) { r.Prepend = 1 },
		"bandwidth": func(r *Route) { r.Bandwidth = 1 }, "transitivity": func(r *Route) { r.BandwidthNonTransitive = true },
	} {
		r := base()
		if change(&r); r.equal(base()) {
			t.Errorf("another %s makes no difference", name)
		}
	}
}

// TestAlike: each route is told as it is, whatever it shares; of a few different ones there is one each.
func TestAlike(t *testing.T) {
	routes := map[netip.Prefix]Route{}
	for i := range 100 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)
		routes[p] = Route{MED: Some(uint32(i % 3)), Communities: []Community{Community(i % 2)}}
	}
	h := hops{v4: netip.MustParseAddr("192.0.2.1"), families: wire.IPv4}
	check := func(atMost int) {
		t.Helper()
		all, withheld := h.tell(routes, false)
		different := map[*Route]bool{}
		for p, r := range routes {
			if s := all[p]; !s.route.equal(r) || s.nextHop != h.v4 {
				t.Errorf("%s: %+v, want %+v", p, s, r)
			}
			different[all[p].route] = true
		}
		if len(different) > atMost || len(withheld) > 0 {
			t.Errorf("%d routes are kept, %d withheld", len(different), len(withheld))
		}
	}
	check(6)
	for p, r := range routes {
		r.MED = Some(uint32(p.Addr().As4()[3]))
		routes[p] = r
	}
	check(100)
}

func TestDrained(t *testing.T) {
	r := Route{Communities: []Community{7}, LocalPref: Some(200)}
	d := r.drained()
	if !slices.Equal(d.Communities, []Community{7, GracefulShutdown}) || d.LocalPref != Some(0) || len(r.Communities) != 1 {
		t.Errorf("%+v of %+v", d, r)
	}
	if again := d.drained(); !again.equal(d) {
		t.Errorf("drained twice: %+v", again)
	}
}

func TestLinkBandwidth(t *testing.T) {
	for _, tt := range []struct {
		asn        uint32
		bandwidth  float32
		transitive bool
		want       ExtendedCommunity
	}{
		{64512, 125e6, false, ExtendedCommunity{0x40, 4, 0xfc, 0, 0x4c, 0xee, 0x6b, 0x28}},
		{64512, 125e6, true, ExtendedCommunity{0x00, 4, 0xfc, 0, 0x4c, 0xee, 0x6b, 0x28}},
		{4200000000, 1, false, ExtendedCommunity{0x40, 4, 0x5b, 0xa0, 0x3f, 0x80, 0, 0}},
	} {
		if got := LinkBandwidth(tt.asn, tt.bandwidth, tt.transitive); got != tt.want {
			t.Errorf("%v: %x, want %x", tt, got, tt.want)
		}
	}
}

// TestPath: which attributes are there, on eBGP and on iBGP.
func TestPath(t *testing.T) {
	route := Route{LocalPref: Some(5), MED: Some(0), Prepend: 2, Bandwidth: 1}
	for internal, want := range map[bool]string{
		false: "OriginAttribute NextHopAttribute AsPathAttribute MultiExitDiscAttribute ExtendedCommunitiesAttribute",
		true:  "OriginAttribute NextHopAttribute MultiExitDiscAttribute LocalPrefAttribute ExtendedCommunitiesAttribute",
	} {
		p, err := said{&route, netip.MustParseAddr("192.0.2.1")}.path(netip.MustParsePrefix("203.0.113.7/32"), 64512, internal)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range p.GetPattrs() {
			names = append(names, strings.TrimPrefix(string(a.MessageName()), "apipb."))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("internal %v: %s", internal, got)
		}
	}
	p, err := said{&Route{}, netip.MustParseAddr("fe80::1%eth0")}.path(netip.MustParsePrefix("2001:db8::7/128"), 64512, false)
	if err != nil || p.GetFamily().GetAfi() != api.Family_AFI_IP6 || !strings.Contains(fmt.Sprint(p), `"fe80::1"`) {
		t.Errorf("%v, %v", p, err)
	}
}

func good() Session {
	return Session{
		LocalASN: 64512, PeerASN: 64513, RouterID: netip.MustParseAddr("192.0.2.1"), Address: netip.MustParseAddr("10.0.0.2"),
	}.settings()
}

func TestSettingsCheck(t *testing.T) {
	if err := good().check(); err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr
	tests := map[string]struct {
		change func(*Session)
		want   string
	}{
		"no ASN":              {func(s *Session) { s.LocalASN = 0 }, "local ASN"},
		"IPv6 router ID":      {func(s *Session) { s.RouterID = a("::1") }, "router ID"},
		"no router ID":        {func(s *Session) { s.RouterID = a("0.0.0.0") }, "router ID"},
		"nothing to dial":     {func(s *Session) { s.Address = netip.Addr{} }, "either an address or an interface"},
		"two ways":            {func(s *Session) { s.Interface = "eth0" }, "either an address or an interface"},
		"multicast":           {func(s *Session) { s.Address = a("224.0.0.5") }, "not a router's address"},
		"link-local, nowhere": {func(s *Session) { s.Address = a("fe80::1") }, "needs an interface"},
		"source family":       {func(s *Session) { s.SourceAddress = a("fd00::1") }, "another family"},
		"listening nowhere":   {func(s *Session) { s.Listen = true }, "listening needs"},
		"hold time":           {func(s *Session) { s.HoldTime = 2 * time.Second }, "under 3s"},
		"keepalive time":      {func(s *Session) { s.KeepaliveTime = s.HoldTime }, "not under"},
		"long password":       {func(s *Session) { s.Password = strings.Repeat("a", 81) }, "longer than 80"},
		"hops and hops":       {func(s *Session) { s.TTL, s.SecurityHops = 2, 1 }, "exclude"},
	}
	for name, tt := range tests {
		s := good()
		tt.change(&s)
		if err := s.check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBinding(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"hold time": func(s *Session) { s.HoldTime = time.Minute }, "keepalive": func(s *Session) { s.KeepaliveTime = time.Second },
		"connect time": func(s *Session) { s.ConnectTime = time.Second }, "restart time": func(s *Session) { s.RestartTime = time.Second },
		"next hops": func(s *Session) {
			s.NextHop4, s.NextHop6 = netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")
		},
	} {
		s := good()
		if change(&s); s.binding() != good().binding() {
			t.Errorf("%s begins a new session", name)
		}
	}
	for name, change := range map[string]func(*Session){
		"ASN": func(s *Session) { s.PeerASN++ }, "password": func(s *Session) { s.Password = "a" }, "families": func(s *Session) { s.Families = wire.IPv4 },
		"IPv6 next hop for IPv4": func(s *Session) { s.NextHop4 = netip.MustParseAddr("fd00::9") },
	} {
		s := good()
		if change(&s); s.binding() == good().binding() {
			t.Errorf("%s begins no new session", name)
		}
	}
}

func TestHops(t *testing.T) {
	tests := map[string]struct {
		change     func(*Session)
		ttl, least int
	}{
		"neighbour":       {func(*Session) {}, 1, 0},
		"internal":        {func(s *Session) { s.PeerASN = s.LocalASN }, 64, 0},
		"any internal":    {func(s *Session) { s.PeerASN, s.PeerType = 0, Internal }, 64, 0},
		"multihop":        {func(s *Session) { s.TTL = 3 }, 3, 0},
		"one secure hop":  {func(s *Session) { s.SecurityHops = 1 }, 255, 255},
		"two secure hops": {func(s *Session) { s.SecurityHops = 2 }, 255, 254},
	}
	for name, tt := range tests {
		s := good()
		tt.change(&s)
		if ttl, least := s.hops(); ttl != tt.ttl || least != tt.least {
			t.Errorf("%s: %d, %d", name, ttl, least)
		}
	}
}
