package spec

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func at(s string) netip.Addr { return netip.MustParseAddr(s) }

func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

// plainPeer is the least that a BGPPeer says.
func plainPeer() v1beta1.BGPPeerSpec {
	return v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "10.0.0.1"}
}

// plainSession is what a node makes of it.
func plainSession() Session {
	return Session{
		LocalASN: 64500, PeerASN: 64501, RouterID: at("10.0.0.10"), Address: at("10.0.0.1"), Port: 179, TTL: 1,
		HoldTime: 90 * time.Second, KeepaliveTime: 30 * time.Second, ConnectTime: 10 * time.Second, RestartTime: 30 * time.Second,
		IPv4: true,
	}
}

func rackNode() Node {
	return Node{
		Name:   "n1",
		Labels: map[string]string{"my": "65001", "peer": "65002", "gateway": "10.1.0.1", "bad": "x", "zero": "0"},
		Annotations: map[string]string{
			"v6": "2001:db8::1", "ll": "fe80::1", "zoned": "fe80::1%eth9", "source": "10.1.0.10", "multicast": "224.0.0.5",
		},
		Addresses: []netip.Addr{at("2001:db8::10"), at("10.0.0.10")},
	}
}

func parseOne(o ...v1beta1.BGPPeer) ([]Peer, []Problem) {
	s, problems := Parse(Objects{BGPPeers: o})
	return s.BGP.Peers, problems
}

func TestSessions(t *testing.T) {
	label := func(key string) *v1beta1.NodeValue { return &v1beta1.NodeValue{NodeLabel: key} }
	annotation := func(key string) *v1beta1.NodeValue { return &v1beta1.NodeValue{NodeAnnotation: key} }
	for _, tt := range []struct {
		name string
		set  func(*v1beta1.BGPPeerSpec)
		want func(*Session)
	}{
		{"plain", func(*v1beta1.BGPPeerSpec) {}, func(*Session) {}},
		{"local ASN", func(s *v1beta1.BGPPeerSpec) { s.LocalASN = 1 }, func(s *Session) { s.LocalASN = 1 }},
		{"dynamic, external", func(s *v1beta1.BGPPeerSpec) { s.PeerASN, s.DynamicASN = 0, "external" }, func(s *Session) { s.PeerASN = 0 }},
		{"dynamic, internal", func(s *v1beta1.BGPPeerSpec) { s.PeerASN, s.DynamicASN = 0, "internal" },
			func(s *Session) { s.PeerASN, s.PeerType = 0, Internal }},
		{"all from the node", func(s *v1beta1.BGPPeerSpec) {
			*s = v1beta1.BGPPeerSpec{MyASNFrom: label("my"), PeerASNFrom: label("peer"), PeerAddressFrom: label("gateway"), SourceAddressFrom: annotation("source")}
		}, func(s *Session) {
			s.LocalASN, s.PeerASN, s.Address, s.SourceAddress = 65001, 65002, at("10.1.0.1"), at("10.1.0.10")
		}},
		{"local ASN from the node", func(s *v1beta1.BGPPeerSpec) { s.LocalASNFrom = label("peer") }, func(s *Session) { s.LocalASN = 65002 }},
		{"IPv6 from an annotation", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.PeerAddressFrom = "", annotation("v6") },
			func(s *Session) { s.Address, s.IPv4, s.IPv6 = at("2001:db8::1"), false, true }},
		{"link-local", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.Interface = "fe80::1", "eth0" },
			func(s *Session) { s.Address, s.IPv4, s.IPv6 = at("fe80::1%eth0"), false, true }},
		{"link-local from the node, with its zone", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.PeerAddressFrom = "", annotation("zoned") },
			func(s *Session) { s.Address, s.IPv4, s.IPv6 = at("fe80::1%eth9"), false, true }},
		{"unnumbered", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.Interface = "", "eth0" },
			func(s *Session) { s.Address, s.Interface, s.IPv6 = netip.Addr{}, "eth0", true }},
		{"default gateway", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.AutoDiscovery = "", "DefaultGateway" },
			func(s *Session) { s.Address, s.Gateway, s.IPv4 = netip.Addr{}, true, false }},
		{"families", func(s *v1beta1.BGPPeerSpec) { s.Families = []v1beta1.IPFamily{"IPv6"} }, func(s *Session) { s.IPv4, s.IPv6 = false, true }},
		{"both families", func(s *v1beta1.BGPPeerSpec) { s.DualStackAddressFamily = new(true) }, func(s *Session) { s.IPv6 = true }},
		{"listen", func(s *v1beta1.BGPPeerSpec) { s.Listen = new(true) }, func(s *Session) { s.Listen, s.SourceAddress = true, at("10.0.0.10") }},
		{"multihop", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop = new(true) }, func(s *Session) { s.TTL = 255 }},
		{"multihop with a TTL", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHop, s.EBGPMultiHopTTL = new(true), 3 }, func(s *Session) { s.TTL = 3 }},
		{"a router ID", func(s *v1beta1.BGPPeerSpec) { s.RouterID = "1.2.3.4" }, func(s *Session) { s.RouterID = at("1.2.3.4") }},
		{"a Secret", func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &corev1.SecretReference{Name: "bgp"} },
			func(s *Session) { s.Secret = SecretRef{Name: "bgp"} }},
		{"the rest", func(s *v1beta1.BGPPeerSpec) {
			s.PeerPort, s.SourceAddress, s.SourceInterface, s.VRFName = 1790, "10.0.0.10", "eth0", "red"
			s.HoldTime, s.KeepaliveTime, s.ConnectTime = seconds(3), seconds(1), seconds(5)
			s.EnableGracefulRestart, s.GracefulRestartTime = new(true), seconds(60)
			s.Password, s.TTLSecurityHops, s.BFDProfile, s.BFDStrict = "secret", 1, "fast", new(true)
			s.NextHop = &v1beta1.NextHops{IPv4: "10.0.0.99", IPv6: "2001:db8::99"}
		}, func(s *Session) {
			s.Port, s.SourceAddress, s.SourceInterface, s.VRF = 1790, at("10.0.0.10"), "eth0", "red"
			s.HoldTime, s.KeepaliveTime, s.ConnectTime = 3*time.Second, time.Second, 5*time.Second
			s.GracefulRestart, s.RestartTime = true, time.Minute
			s.Password, s.SecurityHops, s.BFDProfile, s.BFDStrict = "secret", 1, "fast", true
			s.NextHop4, s.NextHop6 = at("10.0.0.99"), at("2001:db8::99")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, want := plainPeer(), plainSession()
			tt.set(&s)
			tt.want(&want)
			peers, problems := parseOne(v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: s})
			if len(peers) != 1 || len(problems) > 0 && problems[0].Reason != ReasonUnknownProfile {
				t.Fatal(problems)
			}
			got, problem := peers[0].On(rackNode())
			if problem != nil {
				t.Fatal(problem.Message)
			}
			if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestPeerProblems: what is wrong everywhere.
func TestPeerProblems(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(*v1beta1.BGPPeerSpec)
		reason Reason
		words  string
	}{
		{"a selector", func(s *v1beta1.BGPPeerSpec) {
			s.NodeSelectors = []metav1.LabelSelector{{}, {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}}}
		}, ReasonBadSelector, "spec.nodeSelectors[1]"},
		{"no base", func(s *v1beta1.BGPPeerSpec) { s.Base = "nobody" }, ReasonUnknownTemplate, "no BGPPeer nobody"},
		{"a base that is none", func(s *v1beta1.BGPPeerSpec) { s.Base = "self" }, ReasonUnknownTemplate, "is no template"},
		{"no ASN", func(s *v1beta1.BGPPeerSpec) { s.MyASN = 0 }, ReasonIncomplete, "spec.myASN"},
		{"no peer ASN", func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 0 }, ReasonIncomplete, "spec.peerASN"},
		{"no address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "" }, ReasonIncomplete, "spec.peerAddress"},
		{"discovery on an interface", func(s *v1beta1.BGPPeerSpec) { s.AutoDiscovery, s.Interface = "DefaultGateway", "eth0" }, ReasonContradiction, "exclude"},
		{"listen unnumbered", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.Interface, s.Listen = "", "eth0", new(true) }, ReasonContradiction, "spec.listen"},
		{"GTSM and multihop", func(s *v1beta1.BGPPeerSpec) { s.TTLSecurityHops, s.EBGPMultiHop = 1, new(true) }, ReasonContradiction, "exclude"},
		{"a TTL without multihop", func(s *v1beta1.BGPPeerSpec) { s.EBGPMultiHopTTL = 3 }, ReasonContradiction, "needs"},
		{"a restart time without restart", func(s *v1beta1.BGPPeerSpec) { s.GracefulRestartTime = seconds(3) }, ReasonContradiction, "needs"},
		{"strict without a profile", func(s *v1beta1.BGPPeerSpec) { s.BFDStrict = new(true) }, ReasonContradiction, "needs"},
		{"families twice", func(s *v1beta1.BGPPeerSpec) {
			s.Families, s.DualStackAddressFamily = []v1beta1.IPFamily{"IPv4"}, new(true)
		}, ReasonContradiction, "exclude"},
		{"an ASN that is too large", func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 1 << 32 }, ReasonBadValue, "peerASN"},
		{"a negative one", func(s *v1beta1.BGPPeerSpec) { s.MyASN = -1 }, ReasonBadValue, "myASN"},
		{"a multicast address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "224.0.0.1" }, ReasonBadValue, "no host's address"},
		{"no address at all", func(s *v1beta1.BGPPeerSpec) { s.SourceAddress = "::" }, ReasonBadValue, "sourceAddress"},
		{"a port", func(s *v1beta1.BGPPeerSpec) { s.PeerPort = 65536 }, ReasonBadValue, "peerPort"},
		{"a short hold time", func(s *v1beta1.BGPPeerSpec) { s.HoldTime = seconds(2) }, ReasonBadValue, "holdTime: 2s is not from 3s"},
		{"keepalives that come too late", func(s *v1beta1.BGPPeerSpec) { s.HoldTime, s.KeepaliveTime = seconds(3), seconds(3) }, ReasonBadValue, "keepaliveTime"},
		{"a router ID", func(s *v1beta1.BGPPeerSpec) { s.RouterID = "::1" }, ReasonBadValue, "routerID"},
		{"a nameless Secret", func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &corev1.SecretReference{} }, ReasonBadValue, "name"},
		{"two passwords", func(s *v1beta1.BGPPeerSpec) { s.Password, s.PasswordSecret = "a", &corev1.SecretReference{Name: "b"} }, ReasonBadValue, "exclude"},
		{"an IPv4 next hop for IPv6", func(s *v1beta1.BGPPeerSpec) { s.NextHop = &v1beta1.NextHops{IPv6: "10.0.0.1"} }, ReasonBadValue, "nextHop.ipv6"},
		{"a missing profile", func(s *v1beta1.BGPPeerSpec) { s.BFDProfile = "gone" }, ReasonUnknownProfile, "not watched"},
		{"a missing profile, strictly", func(s *v1beta1.BGPPeerSpec) { s.BFDProfile, s.BFDStrict = "gone", new(true) }, ReasonUnknownProfile, "no session"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := plainPeer()
			tt.set(&s)
			good := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "good"}, Spec: plainPeer()}
			peers, problems := parseOne(v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "self"}, Spec: s}, good)
			if len(problems) != 1 || problems[0].Kind != "BGPPeer" || problems[0].Name != "self" || problems[0].Reason != tt.reason || !strings.Contains(problems[0].Message, tt.words) {
				t.Errorf("got %+v", problems)
			}
			used := 1
			if tt.reason == ReasonUnknownProfile {
				used = 2 // it works all the same
			}
			if len(peers) != used {
				t.Errorf("%d peers are used", len(peers))
			}
		})
	}
}

// TestNodeProblems: what is wrong on one node alone.
func TestNodeProblems(t *testing.T) {
	from := func(label, annotation string) *v1beta1.NodeValue {
		return &v1beta1.NodeValue{NodeLabel: label, NodeAnnotation: annotation}
	}
	for _, tt := range []struct {
		name   string
		set    func(*v1beta1.BGPPeerSpec)
		reason Reason
		words  string
	}{
		{"no label", func(s *v1beta1.BGPPeerSpec) { s.MyASN, s.MyASNFrom = 0, from("gone", "") }, ReasonNodeValue, "node n1 has no label gone"},
		{"no annotation", func(s *v1beta1.BGPPeerSpec) { s.SourceAddressFrom = from("", "gone") }, ReasonNodeValue, "no annotation gone"},
		{"no number", func(s *v1beta1.BGPPeerSpec) { s.PeerASN, s.PeerASNFrom = 0, from("bad", "") }, ReasonNodeValue, `label bad is "x"`},
		{"zero", func(s *v1beta1.BGPPeerSpec) { s.LocalASNFrom = from("zero", "") }, ReasonNodeValue, "no ASN"},
		{"no address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.PeerAddressFrom = "", from("bad", "") }, ReasonNodeValue, "no host's address"},
		{"a multicast address", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.PeerAddressFrom = "", from("", "multicast") }, ReasonNodeValue, "no host's address"},
		{"link-local without an interface", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress, s.PeerAddressFrom = "", from("", "ll") }, ReasonContradiction, "spec.interface"},
		{"an interface for another address", func(s *v1beta1.BGPPeerSpec) {
			s.PeerAddress, s.PeerAddressFrom, s.Interface = "", from("gateway", ""), "eth0"
		}, ReasonContradiction, "link-local"},
		{"families that differ", func(s *v1beta1.BGPPeerSpec) { s.SourceAddressFrom = from("", "v6") }, ReasonContradiction, "another family"},
		{"multihop within the AS", func(s *v1beta1.BGPPeerSpec) {
			s.EBGPMultiHop, s.LocalASNFrom, s.PeerASN = new(true), from("my", ""), 65001
		}, ReasonContradiction, "another AS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := plainPeer()
			tt.set(&s)
			peers, problems := parseOne(v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: s})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			_, problem := peers[0].On(rackNode())
			if problem == nil || problem.Reason != tt.reason || problem.Name != "p" || !strings.Contains(problem.Message, tt.words) {
				t.Errorf("got %+v", problem)
			}
		})
	}
	nothing := Node{Name: "n2"}
	s := plainPeer()
	s.Listen = new(true)
	peers, _ := parseOne(v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: s})
	if _, problem := peers[0].On(nothing); problem == nil || !strings.Contains(problem.Message, "InternalIP") {
		t.Errorf("listening nowhere: %+v", problem)
	}
}

func TestTemplates(t *testing.T) {
	template := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "base"}, Spec: v1beta1.BGPPeerSpec{
		Template: true, MyASN: 64500, DynamicASN: "external", AutoDiscovery: "DefaultGateway", HoldTime: seconds(9), EBGPMultiHop: new(true),
		EBGPMultiHopTTL: 5, Password: "secret", NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}},
		NextHop: &v1beta1.NextHops{IPv4: "10.0.0.99", IPv6: "2001:db8::99"},
	}}
	child := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1beta1.BGPPeerSpec{
		Base: "base", PeerASN: 64501, PeerAddress: "10.0.0.1", EBGPMultiHopTTL: 7,
		PasswordSecret: &corev1.SecretReference{Name: "bgp"}, NodeSelectors: []metav1.LabelSelector{{}},
		NextHop: &v1beta1.NextHops{IPv4: "10.0.0.98"},
	}}
	peers, problems := parseOne(child, template)
	if len(problems) > 0 || len(peers) != 1 {
		t.Fatal(peers, problems)
	}
	got, problem := peers[0].On(rackNode())
	want := plainSession()
	want.HoldTime, want.KeepaliveTime, want.TTL = 9*time.Second, 3*time.Second, 7
	want.Secret, want.NextHop4 = SecretRef{Name: "bgp"}, at("10.0.0.98") // the whole field is replaced
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || problem != nil {
		t.Error(problem, d)
	}
	if !peers[0].SelectsNode(nil) {
		t.Error("the template's selectors are still there")
	}

	incomplete := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1beta1.BGPPeerSpec{Base: "empty"}}
	empty := v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "empty"}, Spec: v1beta1.BGPPeerSpec{Template: true}}
	if _, problems := parseOne(incomplete, empty); len(problems) != 1 || problems[0].Name != "p" || !strings.Contains(problems[0].Message, "template empty") {
		t.Errorf("got %+v", problems)
	}
	own := child
	own.Spec.PeerAddress, own.Spec.Interface = "", "eth0"
	peers, _ = parseOne(own, template)
	if got, _ := peers[0].On(rackNode()); got.Interface != "eth0" || got.Gateway || got.Address.IsValid() {
		t.Errorf("an interface of its own: %+v", got)
	}
}

func TestRouterID(t *testing.T) {
	six := Node{Name: "n1", Addresses: []netip.Addr{at("2001:db8::1")}}
	a, b := RouterID(six), RouterID(Node{Name: "n2"})
	if !a.Is4() || a == b || a != RouterID(Node{Name: "n1"}) || a.As4()[0]&0xf0 != 0xf0 {
		t.Error(a, b)
	}
	if got := RouterID(rackNode()); got != at("10.0.0.10") {
		t.Error(got)
	}
}

func TestGateways(t *testing.T) {
	for _, tt := range []struct {
		s    Session
		want []Family
	}{
		{Session{}, []Family{IPv4, IPv6}},
		{Session{IPv4: true, IPv6: true}, []Family{IPv4, IPv6}},
		{Session{IPv6: true}, []Family{IPv6}},
		{Session{IPv4: true}, []Family{IPv4}},
		{Session{IPv4: true, SourceAddress: at("2001:db8::1")}, []Family{IPv6}},
	} {
		if d := cmp.Diff(tt.want, tt.s.GatewayFamilies()); d != "" {
			t.Errorf("%+v: %s", tt.s, d)
		}
	}
	found := Session{Gateway: true}.Discovered(at("fe80::1%eth0"))
	if found.Gateway || !found.IPv6 || found.IPv4 || found.Address != at("fe80::1%eth0") {
		t.Errorf("%+v", found)
	}
	if found := (Session{Gateway: true, IPv4: true}).Discovered(at("fe80::1%eth0")); !found.Carries(IPv4) || found.Carries(IPv6) {
		t.Errorf("%+v", found)
	}
}
