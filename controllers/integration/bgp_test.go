package integration

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func newPeer(name string, spec v1beta1.BGPPeerSpec) *v1beta1.BGPPeer {
	return &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

// conditionIs waits until a condition of an object says so, of its newest generation.
func conditionIs[T client.Object](t *testing.T, o T, list func(T) []metav1.Condition, kind string, status metav1.ConditionStatus, reason, words string) {
	t.Helper()
	eventually(t, kind+" of "+o.GetName(), func() error {
		get(t, o)
		c := meta.FindStatusCondition(list(o), kind)
		if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, words) || c.ObservedGeneration != o.GetGeneration() {
			return fmt.Errorf("got %+v, want %s %s %q", c, status, reason, words)
		}
		return nil
	})
}

func ofPeer(p *v1beta1.BGPPeer) []metav1.Condition { return p.Status.Conditions }

func ofAdvertisement(a *v1beta1.BGPAdvertisement) []metav1.Condition { return a.Status.Conditions }

// shows waits until a metric is so.
func shows(t *testing.T, c *controller, want float64, name string, labels ...string) {
	t.Helper()
	eventually(t, name, func() error {
		if got := c.metric(name, labels...); got != want {
			return fmt.Errorf("%v is %v, want %v", labels, got, want)
		}
		return nil
	})
}

// TestPeerConditions follows the sessions of two nodes with one router.
func TestPeerConditions(t *testing.T) {
	clean(t)
	one, two := readySpeaker(t, "bgp-1"), readySpeaker(t, "bgp-2")
	p := newPeer("router", v1beta1.BGPPeerSpec{
		MyASN: 64500, PeerASNFrom: &v1beta1.NodeValue{NodeAnnotation: "example.com/asn"}, PeerAddress: "192.0.2.1",
	})
	nodes := []*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "bgp-1"}}, {ObjectMeta: metav1.ObjectMeta{Name: "bgp-2"}}}
	annotate := func(n *corev1.Node, asn string) {
		edit(t, n, func(n *corev1.Node) { n.Annotations = map[string]string{"example.com/asn": asn} })
	}
	annotate(nodes[0], "64501")
	create(t, p)
	c := start(t)
	conditionIs(t, p, ofPeer, "Ready", metav1.ConditionFalse, "BadNodeValue", "node bgp-2 has no annotation example.com/asn")
	conditionIs(t, p, ofPeer, "Established", metav1.ConditionFalse, "NoSessionYet", "0 of 2 nodes have a session; node bgp-1: its speaker says nothing")
	annotate(nodes[1], "64501")
	conditionIs(t, p, ofPeer, "Ready", metav1.ConditionTrue, "Valid", "")

	says := func(s *v1beta1.SpeakerStatus, peer v1beta1.SpeakerPeer) {
		peer.Name = "router"
		speaks(t, s, func(s *v1beta1.SpeakerStatusStatus) { s.BGP.Peers = []v1beta1.SpeakerPeer{peer} })
	}
	says(one, v1beta1.SpeakerPeer{State: "Established", RoutesSent: 1})
	says(two, v1beta1.SpeakerPeer{State: "Connecting", Reason: "ConnectionRefused", Message: "nobody listens at 192.0.2.1:179"})
	conditionIs(t, p, ofPeer, "Established", metav1.ConditionFalse, "ConnectionRefused", "1 of 2 nodes have a session; node bgp-2: nobody listens")
	hasEvent(t, p, "ConnectionRefused", "nobody listens")
	says(two, v1beta1.SpeakerPeer{State: "Established"})
	conditionIs(t, p, ofPeer, "Established", metav1.ConditionTrue, "Established", "all 2 nodes")
	if p.Status.Sessions != "2/2" || p.Status.Established != 2 || p.Status.Wanted != 2 {
		t.Errorf("%+v", p.Status)
	}
	shows(t, c, 2, "belfry_bgp_peer_nodes", "peer=router", "state=wanted")
	shows(t, c, 2, "belfry_bgp_peer_nodes", "peer=router", "state=established")
	shows(t, c, 1, "belfry_configuration_objects", "kind=BGPPeer", "status=True", "reason=Valid")

	// What speakers say of their routes is no reason to write.
	before := c.net.written()["PATCH bgppeers/status"]
	says(one, v1beta1.SpeakerPeer{State: "Established", RoutesSent: 1000})
	other := newPeer("other", v1beta1.BGPPeerSpec{Template: true})
	create(t, other)
	conditionIs(t, other, ofPeer, "Ready", metav1.ConditionTrue, "Template", "")
	if got := c.net.written()["PATCH bgppeers/status"]; got != before+1 {
		t.Errorf("%d writes for one template", got-before)
	}

	edit(t, p, func(p *v1beta1.BGPPeer) {
		p.Spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"no": "node"}}}
	})
	conditionIs(t, p, ofPeer, "Established", metav1.ConditionFalse, "NoNodeSelected", "no node")
	if p.Status.Established != 0 || p.Status.Wanted != 0 || p.Status.Sessions != "0/0" {
		t.Errorf("the numbers stay: %+v", p.Status)
	}
	edit(t, p, func(p *v1beta1.BGPPeer) { p.Spec.NodeSelectors, p.Spec.BFDProfile = nil, "fast" })
	conditionIs(t, p, ofPeer, "Ready", metav1.ConditionFalse, "UnknownBFDProfile", "no BFDProfile fast")
	conditionIs(t, p, ofPeer, "Established", metav1.ConditionTrue, "Established", "all 2 nodes")
	fast := &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	create(t, fast)
	conditionIs(t, p, ofPeer, "Ready", metav1.ConditionTrue, "Valid", "")
	conditionIs(t, fast, func(f *v1beta1.BFDProfile) []metav1.Condition { return f.Status.Conditions }, "Ready", metav1.ConditionTrue, "Valid", "")
	eventually(t, "the profile's users", func() error {
		if get(t, fast); strings.Join(fast.Status.Users, ",") != "router" {
			return fmt.Errorf("got %v", fast.Status.Users)
		}
		return nil
	})
	edit(t, p, func(p *v1beta1.BGPPeer) { p.Spec.BFDProfile = "" })
	eventually(t, "no users", func() error {
		if get(t, fast); len(fast.Status.Users) > 0 {
			return fmt.Errorf("got %v", fast.Status.Users)
		}
		return nil
	})
}

func TestBGPAdvertisementConditions(t *testing.T) {
	clean(t)
	pool := newPool("bgp", "192.0.2.80-192.0.2.81")
	a := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1beta1.BGPAdvertisementSpec{Communities: []string{"red"}, IPAddressPools: []string{"bgp"}}}
	create(t, pool, a)
	c := start(t)
	conditionIs(t, a, ofAdvertisement, "Ready", metav1.ConditionFalse, "UnknownCommunity", `no Community defines "red": nothing is announced`)
	shows(t, c, 1, "belfry_configuration_objects", "kind=BGPAdvertisement", "status=False", "reason=UnknownCommunity")
	hasEvent(t, a, "UnknownCommunity", "red")
	colors := &v1beta1.Community{
		ObjectMeta: metav1.ObjectMeta{Name: "colors"},
		Spec:       v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "red", Value: "64500:1"}}},
	}
	create(t, colors)
	readySpeaker(t, "bgp-3")
	conditionIs(t, a, ofAdvertisement, "Ready", metav1.ConditionFalse, "NoPeer", "no BGPPeer")
	create(t, newPeer("router", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1"}))
	conditionIs(t, a, ofAdvertisement, "Ready", metav1.ConditionTrue, "Valid", "in use")
	eventually(t, "the users of the names", func() error {
		if get(t, colors); strings.Join(colors.Status.Users, ",") != "a" {
			return fmt.Errorf("got %v", colors.Status.Users)
		}
		return nil
	})
	shows(t, c, 1, "belfry_community_users", "community=colors")
	shows(t, c, 0, "belfry_configuration_objects", "kind=BGPAdvertisement", "status=False")
	shows(t, c, 1, "belfry_configuration_objects", "kind=IPAddressPool", "status=True")

	s := newService("bgp-sticky", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	create(t, s)
	hasAddresses(t, s, "192.0.2.80")
	length := int32(24)
	edit(t, a, func(a *v1beta1.BGPAdvertisement) { a.Spec.AggregationLength = &length })
	conditionIs(t, a, ofAdvertisement, "Ready", metav1.ConditionFalse, "AffinityNotKept", "of 192.0.2.80 only the aggregate 192.0.2.0/24 is announced")
	no := false
	edit(t, a, func(a *v1beta1.BGPAdvertisement) { a.Spec.AggregateOnly = &no })
	conditionIs(t, a, ofAdvertisement, "Ready", metav1.ConditionTrue, "Valid", "")

	b := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1beta1.BGPAdvertisementSpec{LocalPref: 200}}
	edit(t, a, func(a *v1beta1.BGPAdvertisement) { a.Spec.LocalPref = 100 })
	create(t, b)
	conditionIs(t, b, ofAdvertisement, "Ready", metav1.ConditionFalse, "AttributesDiffer", "BGPAdvertisement a, which is older")
}

// TestAnnouncedWithBGP: a Service of which routers are told is announced, without names of nodes that come and go.
func TestAnnouncedWithBGP(t *testing.T) {
	clean(t)
	create(t, newPool("bgp", "192.0.2.84-192.0.2.85"))
	c := start(t, soonTold)
	s := newService("bgp-told")
	create(t, s)
	hasAddresses(t, s, "192.0.2.84")
	endpoints(t, s, "bgp-4")
	speaker := readySpeaker(t, "bgp-4")
	announcedIs(t, s, metav1.ConditionFalse, "NoAdvertisement", "192.0.2.84: no L2Advertisement")
	create(t, newPeer("router", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1"}),
		&v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}})
	announcedIs(t, s, metav1.ConditionFalse, "NoSession", "192.0.2.84: no node that can announce it has a session")
	says := func(state string, sent int32) {
		speaks(t, speaker, func(s *v1beta1.SpeakerStatusStatus) {
			s.BGP.Peers = []v1beta1.SpeakerPeer{{Name: "router", State: state, RoutesSent: sent}}
		})
	}
	says("Established", 1)
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "BGP")
	if message := announced(s).Message; message != "BGP" {
		t.Errorf("the message is %q", message)
	}
	before := c.net.written()["PATCH services/status"]
	says("Established", 2)
	other := newService("bgp-other")
	create(t, other)
	announcedIs(t, other, metav1.ConditionFalse, "NoEndpoints", "192.0.2.85")
	if got := c.net.written()["PATCH services/status"] - before; got != 2 {
		t.Errorf("%d writes for one new Service", got)
	}
}
