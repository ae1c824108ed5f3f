package spec

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestParseCommunity(t *testing.T) {
	extended := func(s string) Communities {
		b, _ := hex.DecodeString(s)
		return Communities{Extended: [][8]byte{[8]byte(b)}}
	}
	for s, want := range map[string]Communities{
		"64500:100":            {Standard: []uint32{64500<<16 | 100}},
		"no-export":            {Standard: []uint32{65535<<16 | 65281}},
		"blackhole":            {Standard: []uint32{65535<<16 | 666}},
		"graceful-shutdown":    {Standard: []uint32{65535 << 16}},
		"large:4200000000:1:2": {Large: [][3]uint32{{4200000000, 1, 2}}},
		"rt:64500:100":         extended("0002fbf400000064"),
		"rt:4200000000:100":    extended("0202fa56ea000064"),
		"soo:192.0.2.1:100":    extended("0103c00002010064"),
		"ext:4004fbf449742400": extended("4004fbf449742400"),
	} {
		got, err := ParseCommunity(s)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", s, err, d)
		}
	}
	for _, s := range []string{"", "x", "1", "65536:1", "1:65536", "1:2:3", "-1:1", "large:1:2", "large:1:2:4294967296", "rt:1", "rt:1:2:3",
		"rt:4200000000:65536", "rt:2001:db8::1:1", "soo:192.0.2.1:65536", "ext:00", "ext:000000000000000g", "1:2 "} {
		if got, err := ParseCommunity(s); err == nil {
			t.Errorf("%q is %+v", s, got)
		}
	}
}

func FuzzParseCommunity(f *testing.F) {
	for _, s := range []string{"64500:100", "large:1:2:3", "rt:1:2", "soo:192.0.2.1:3", "ext:0002fbf400000064", "no-peer"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCommunity(s)
		if n := len(c.Standard) + len(c.Large) + len(c.Extended); err == nil && n != 1 || err != nil && !c.Empty() {
			t.Errorf("%q: %+v, %v", s, c, err)
		}
	})
}

func TestJoin(t *testing.T) {
	a := Communities{Standard: []uint32{1, 3}, Large: [][3]uint32{{1}}, Extended: [][8]byte{{2}}}
	b := Communities{Standard: []uint32{2, 3}, Large: [][3]uint32{{0, 9}}, Extended: [][8]byte{{1}, {2}}}
	want := Communities{Standard: []uint32{1, 2, 3}, Large: [][3]uint32{{0, 9}, {1}}, Extended: [][8]byte{{1}, {2}}}
	if d := cmp.Diff(want, a.Join(b)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Communities{Standard: []uint32{1, 3}, Large: [][3]uint32{{1}}, Extended: [][8]byte{{2}}}, a); d != "" {
		t.Error("it changed what it joined:", d)
	}
}

func community(name string, age int, pairs ...string) v1beta1.Community {
	c := v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(100-age), 0))}}
	for i := 0; i < len(pairs); i += 2 {
		c.Spec.Communities = append(c.Spec.Communities, v1beta1.CommunityAlias{Name: pairs[i], Value: pairs[i+1]})
	}
	return c
}

func bgpAdvertisement(name string, set func(*v1beta1.BGPAdvertisementSpec)) v1beta1.BGPAdvertisement {
	a := v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	set(&a.Spec)
	return a
}

func TestAliases(t *testing.T) {
	uses := func(name string, communities ...string) v1beta1.BGPAdvertisement {
		return bgpAdvertisement(name, func(s *v1beta1.BGPAdvertisementSpec) { s.Communities = communities })
	}
	s, problems := Parse(Objects{
		Communities: []v1beta1.Community{
			community("younger", 1, "red", "64500:2", "blue", "64500:3", "same", "1:1", "no-export", "1:2", "bad", "64500"),
			community("older", 2, "red", "64500:1", "same", "1:1"),
		},
		BGPAdvertisements: []v1beta1.BGPAdvertisement{
			uses("both", "red", "blue", "no-peer"), uses("unguarded", "red", "gone"), uses("plain", "1:1"), uses("wrong", "1:99999"), uses("undefined", "bad"),
		},
	})
	var got []string
	for _, p := range problems {
		got = append(got, p.Kind+" "+p.Name+" "+string(p.Reason))
	}
	if d := cmp.Diff([]string{
		"Community younger AmbiguousCommunity", "Community younger BadCommunity", "Community younger BadCommunity",
		"BGPAdvertisement unguarded UnknownCommunity", "BGPAdvertisement wrong BadCommunity", "BGPAdvertisement undefined UnknownCommunity",
	}, got); d != "" {
		t.Error(d)
	}
	var used []string
	for _, a := range s.BGP.Advertisements {
		used = append(used, a.Name)
	}
	if d := cmp.Diff([]string{"both", "plain"}, used); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]uint32{64500<<16 | 1, 64500<<16 | 3, 0xffffff04}, s.BGP.Advertisements[0].Communities.Standard); d != "" {
		t.Error("the older one's value counts:", d)
	}
	if d := cmp.Diff(map[string][]string{"older": {"both", "unguarded"}, "younger": {"both"}}, s.BGP.CommunityUsers); d != "" {
		t.Error(d)
	}
}

func TestParseBGPAdvertisement(t *testing.T) {
	s, problems := Parse(Objects{BGPAdvertisements: []v1beta1.BGPAdvertisement{
		bgpAdvertisement("empty", func(*v1beta1.BGPAdvertisementSpec) {}),
		bgpAdvertisement("full", func(s *v1beta1.BGPAdvertisementSpec) {
			s.AggregationLength, s.AggregationLengthV6, s.AggregateOnly = new(int32(24)), new(int32(64)), new(false)
			s.LocalPref, s.MED, s.ASPathPrepend = 200, new(int64(0)), 3
			s.WeightByEndpoints, s.LinkBandwidth, s.ClientIPAffinity, s.DiscardUnused = true, "nonTransitive", "ecmp", true
		}),
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []BGPAdvertisement{
		{Name: "empty", Length4: 32, Length6: 128},
		{Name: "full", Length4: 24, Length6: 64, HostRoutes: true, LocalPref: Number{200, true}, MED: Number{0, true}, Prepend: 3,
			Weighted: true, Bandwidth: BandwidthNonTransitive, Affinity: AffinityECMP, DiscardUnused: true},
	}
	if d := cmp.Diff(want, s.BGP.Advertisements); d != "" {
		t.Error(d)
	}
	if empty, full := s.BGP.Advertisements[0], s.BGP.Advertisements[1]; !empty.HostRoute(IPv6) || !full.HostRoute(IPv4) || full.Length(IPv6) != 64 {
		t.Error("host routes")
	}
}

func TestBGPAdvertisementProblems(t *testing.T) {
	bad := []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}}}
	for _, tt := range []struct {
		name   string
		set    func(*v1beta1.BGPAdvertisementSpec)
		reason Reason
		words  string
		used   bool
	}{
		{"a selector of pools", func(s *v1beta1.BGPAdvertisementSpec) { s.IPAddressPoolSelectors = bad }, ReasonBadSelector, "ipAddressPoolSelectors[0]", false},
		{"a selector of peers", func(s *v1beta1.BGPAdvertisementSpec) { s.PeerSelectors = bad }, ReasonBadSelector, "peerSelectors[0]", false},
		{"a length", func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = new(int32(33)) }, ReasonBadValue, "aggregationLength: 33", false},
		{"a MED", func(s *v1beta1.BGPAdvertisementSpec) { s.MED = new(int64(1 << 32)) }, ReasonBadValue, "med", false},
		{"a local preference", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref = -1 }, ReasonBadValue, "localPref", false},
		{"a pool", func(s *v1beta1.BGPAdvertisementSpec) { s.IPAddressPools = []string{"gone"} }, ReasonUnknownPool, "gone", true},
		{"a peer", func(s *v1beta1.BGPAdvertisementSpec) { s.Peers = []string{"gone"} }, ReasonUnknownPeer, "gone", true},
		{"a template", func(s *v1beta1.BGPAdvertisementSpec) { s.Peers = []string{"base"} }, ReasonUnknownPeer, "base", true},
	} {
		s, problems := Parse(Objects{
			BGPPeers:          []v1beta1.BGPPeer{{ObjectMeta: metav1.ObjectMeta{Name: "base"}, Spec: v1beta1.BGPPeerSpec{Template: true}}},
			BGPAdvertisements: []v1beta1.BGPAdvertisement{bgpAdvertisement("a", tt.set), bgpAdvertisement("z", func(*v1beta1.BGPAdvertisementSpec) {})},
		})
		if len(problems) != 1 || problems[0].Reason != tt.reason || problems[0].Name != "a" || !strings.Contains(problems[0].Message, tt.words) {
			t.Errorf("%s: %+v", tt.name, problems)
		}
		if used := len(s.BGP.Advertisements) == 2; used != tt.used {
			t.Errorf("%s: used %t", tt.name, used)
		}
	}
}

func TestSelectsPeer(t *testing.T) {
	red := Peer{Name: "a", Labels: labels.Set{"color": "red"}}
	selector, _ := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: map[string]string{"color": "red"}})
	for _, tt := range []struct {
		a    BGPAdvertisement
		want bool
	}{
		{BGPAdvertisement{}, true},
		{BGPAdvertisement{Peers: []string{"a"}}, true},
		{BGPAdvertisement{Peers: []string{"b"}}, false},
		{BGPAdvertisement{Peers: []string{"b"}, PeerSelectors: []labels.Selector{selector}}, true},
		{BGPAdvertisement{PeerSelectors: []labels.Selector{labels.Nothing()}}, false},
	} {
		if tt.a.SelectsPeer(red) != tt.want {
			t.Errorf("%+v", tt.a)
		}
	}
}

func TestParseBFDProfile(t *testing.T) {
	profile := func(name string, s v1beta1.BFDProfileSpec) v1beta1.BFDProfile {
		return v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: s}
	}
	s, problems := Parse(Objects{BFDProfiles: []v1beta1.BFDProfile{
		profile("full", v1beta1.BFDProfileSpec{
			ReceiveInterval: new(int32(50)), TransmitInterval: new(int32(60)), DetectMultiplier: new(int32(5)), EchoMode: new(true), EchoInterval: new(int32(20)),
			PassiveMode: new(true), MinimumTTL: new(int32(250)),
			Authentication: &v1beta1.BFDAuthentication{Type: v1beta1.BFDMeticulousKeyedSHA1, KeyID: new(int32(7)), SecretRef: v1beta1.SecretName{Name: "bfd"}},
		}),
		profile("empty", v1beta1.BFDProfileSpec{}),
		profile("echo", v1beta1.BFDProfileSpec{EchoMode: new(true), Authentication: &v1beta1.BFDAuthentication{Type: v1beta1.BFDSimplePassword, SecretRef: v1beta1.SecretName{Name: "bfd"}}}),
		profile("bad-interval", v1beta1.BFDProfileSpec{ReceiveInterval: new(int32(9))}),
		profile("bad-multiplier", v1beta1.BFDProfileSpec{DetectMultiplier: new(int32(1))}),
		profile("bad-type", v1beta1.BFDProfileSpec{Authentication: &v1beta1.BFDAuthentication{Type: "x", SecretRef: v1beta1.SecretName{Name: "bfd"}}}),
		profile("bad-secret", v1beta1.BFDProfileSpec{Authentication: &v1beta1.BFDAuthentication{Type: v1beta1.BFDKeyedMD5}}),
	}})
	ms := time.Millisecond
	want := []BFDProfile{
		{Name: "echo", Receive: 300 * ms, Transmit: 300 * ms, Multiplier: 3, Echo: 50 * ms, MinTTL: 254, Auth: BFDAuth{1, 1, SecretRef{Name: "bfd"}}},
		{Name: "empty", Receive: 300 * ms, Transmit: 300 * ms, Multiplier: 3, MinTTL: 254},
		{Name: "full", Receive: 50 * ms, Transmit: 60 * ms, Multiplier: 5, Echo: 20 * ms, Passive: true, MinTTL: 250, Auth: BFDAuth{5, 7, SecretRef{Name: "bfd"}}},
	}
	if d := cmp.Diff(want, s.BGP.Profiles); d != "" {
		t.Error(d)
	}
	if len(problems) != 4 || problems[0].Kind != "BFDProfile" {
		t.Error(problems)
	}
	if _, ok := s.BGP.Profile("gone"); ok {
		t.Error("found a profile that is not there")
	}
}

func TestAttributesThatDiffer(t *testing.T) {
	old := func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.MED, s.ASPathPrepend = 200, new(int64(1)), 1 }
	by := func(value string) []metav1.LabelSelector {
		return []metav1.LabelSelector{{MatchLabels: map[string]string{"tier": value}}}
	}
	for _, tt := range []struct {
		name    string
		younger func(*v1beta1.BGPAdvertisementSpec)
		older   func(*v1beta1.BGPAdvertisementSpec)
		words   string // of the younger's problem; "": none
	}{
		{"the same", old, nil, ""},
		{"what only one sets", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref = 200 }, nil, ""},
		{"communities", func(s *v1beta1.BGPAdvertisementSpec) { s.Communities = []string{"1:1"} }, nil, ""},
		{"a local preference", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref = 100 }, nil, "localPref (200, not 100)"},
		{"a MED of 0", func(s *v1beta1.BGPAdvertisementSpec) { s.MED = new(int64(0)) }, nil, "med (1, not 0)"},
		{"prepending", func(s *v1beta1.BGPAdvertisementSpec) { s.ASPathPrepend = 2 }, nil, "asPathPrepend (1, not 2)"},
		{"affinity", func(s *v1beta1.BGPAdvertisementSpec) { s.ClientIPAffinity = "ecmp" }, nil, "clientIPAffinity (single, not ecmp)"},
		{"two", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.MED = 1, new(int64(2)) }, nil, "localPref (200, not 1) and med (1, not 2)"},
		{"for other pools", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.IPAddressPools = 100, []string{"dmz"} },
			func(s *v1beta1.BGPAdvertisementSpec) { s.IPAddressPools = []string{"lan"} }, ""},
		{"for other peers", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.Peers = 100, []string{"a"} },
			func(s *v1beta1.BGPAdvertisementSpec) { s.Peers = []string{"b"} }, ""},
		{"from other nodes", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.NodeSelectors = 100, by("a") },
			func(s *v1beta1.BGPAdvertisementSpec) { s.NodeSelectors = by("b") }, ""},
		{"of other Services", func(s *v1beta1.BGPAdvertisementSpec) { s.LocalPref, s.ServiceSelectors = 100, by("a") },
			func(s *v1beta1.BGPAdvertisementSpec) { s.ServiceSelectors = by("b") }, ""},
		{"an aggregate beside host routes", func(s *v1beta1.BGPAdvertisementSpec) {
			s.LocalPref, s.AggregationLength, s.AggregationLengthV6 = 100, new(int32(24)), new(int32(64))
		}, nil, ""},
		{"an aggregate with host routes", func(s *v1beta1.BGPAdvertisementSpec) {
			s.LocalPref, s.AggregationLength, s.AggregateOnly = 100, new(int32(24)), new(false)
		}, nil, "localPref"},
	} {
		older := func(s *v1beta1.BGPAdvertisementSpec) {
			if old(s); tt.older != nil {
				tt.older(s)
			}
		}
		a, b := bgpAdvertisement("a-younger", tt.younger), bgpAdvertisement("b-older", older)
		a.CreationTimestamp, b.CreationTimestamp = metav1.NewTime(time.Unix(2, 0)), metav1.NewTime(time.Unix(1, 0))
		pool := func(name, cidr string) v1beta1.IPAddressPool {
			return v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{v1beta1.AddressRange(cidr)}}}
		}
		peer := func(name string) v1beta1.BGPPeer {
			return v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: plainPeer()}
		}
		s, problems := Parse(Objects{
			Pools:    []v1beta1.IPAddressPool{pool("lan", "192.0.2.0/24"), pool("dmz", "198.51.100.0/24")},
			BGPPeers: []v1beta1.BGPPeer{peer("a"), peer("b")}, BGPAdvertisements: []v1beta1.BGPAdvertisement{a, b},
		})
		if len(s.BGP.Advertisements) != 2 {
			t.Errorf("%s: one is left out", tt.name)
		}
		if tt.words == "" {
			if len(problems) > 0 {
				t.Errorf("%s: %v", tt.name, problems)
			}
			continue
		}
		if len(problems) != 1 || problems[0].Name != "a-younger" || !strings.Contains(problems[0].Message, tt.words) ||
			!strings.Contains(problems[0].Message, "b-older, which is older, is for pool dmz and peer a too") || !strings.Contains(problems[0].Message, "where both select a Service") {
			t.Errorf("%s: %v", tt.name, problems)
		}
	}
}
