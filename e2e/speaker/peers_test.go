package speaker

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestPasswordRotation: a password is changed, then missing, and the session with the other router does not notice.
func TestPasswordRotation(t *testing.T) {
	l := newScene(t)
	password := func(name, value string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"password": []byte(value)}}
		create(t, s)
		return s
	}
	signed := func(secret string) func(*v1beta1.BGPPeerSpec) {
		return func(s *v1beta1.BGPPeerSpec) { s.PasswordSecret = &corev1.SecretReference{Name: secret} }
	}
	first := password("r1", "sesame")
	password("r2", "simsim")
	create(t, bgpPeer("r1", router1, signed("r1")))
	create(t, bgpPeer("r2", router2, signed("r2")))
	one, two := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	frr := one.frr(frrConfig([]string{node1}, "password sesame"))
	two.frr(frrConfig([]string{node1}, "password simsim"))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	one.has(host(web), node1)
	two.has(host(web), node1)
	other := n.says("r2", "it is established", established)
	routes := two.watch()

	edit(t, first, func(s *corev1.Secret) { s.Data["password"] = []byte("open") })
	n.says("r1", "the old session ends", func(p v1beta1.SpeakerPeer) bool { return p.Flaps == 1 && !established(p) })
	must(t, frr.Configure(t.Context(), "router bgp 64513", "neighbor "+node1+" password open"))
	n.says("r1", "the new password", established)
	one.has(host(web), node1)

	remove(t, first)
	p := n.says("r1", "there is no password", func(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionIdle })
	if p.Reason != "PasswordMissing" {
		t.Errorf("reason %s: %s", p.Reason, p.Message)
	}
	one.has(host(web))
	password("r1", "open")
	one.has(host(web), node1)
	if p := n.peer("r2"); !established(p) || p.Flaps != 0 || !p.Since.Equal(other.Since) {
		t.Errorf("the other session was %+v, is %+v", other, p)
	}
	select {
	case e := <-routes:
		t.Errorf("the other router's route was touched: %+v", e)
	default:
	}
}

// TestListen: the router dials, and nothing but the port that was asked for is open to it.
func TestListen(t *testing.T) {
	l := newScene(t)
	listen := true
	create(t, bgpPeer("r1", router1, func(s *v1beta1.BGPPeerSpec) { s.Listen = &listen }))
	create(t, bgpPeer("r2", router2))
	one, two := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	one.frr(frrConfig([]string{node1}))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	one.has(host(web), node1)
	p := n.says("r1", "it is established", established)
	if p.Local != node1+":179" {
		t.Errorf("this end is %s", p.Local)
	}
	two.frr(frrConfig([]string{node1}, "passive"))
	two.has(host(web), node1)
	if p := n.says("r2", "it is established", established); p.Local == node1+":179" {
		t.Errorf("this end is %s", p.Local)
	}
}

// TestDefaultGateway: the router is where the default route leads, also when that changes.
func TestDefaultGateway(t *testing.T) {
	l := newScene(t)
	create(t, bgpPeer("gateway", "", func(s *v1beta1.BGPPeerSpec) { s.AutoDiscovery = v1beta1.AutoDiscoveryDefaultGateway }))
	one, two := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	one.frr(frrConfig([]string{node1}))
	two.frr(frrConfig([]string{node1}))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	n.says("gateway", "there is none", func(p v1beta1.SpeakerPeer) bool { return p.Reason == "NoDefaultGateway" })
	n.Route("0.0.0.0/0", router1)
	one.has(host(web), node1)
	n.Must(n.Netlink.RouteReplace(&netlink.Route{Dst: ipNet(anywhere), Gw: addr(router2).AsSlice()}))
	two.has(host(web), node1)
	one.has(host(web))
	if p := n.says("gateway", "it is established", established); p.Remote != router2+":179" {
		t.Errorf("the session is with %s", p.Remote)
	}
}

// TestUnnumbered: both families, over a session between link-local addresses.
func TestUnnumbered(t *testing.T) {
	l := newScene(t)
	six := addr("2001:db8:71::7")
	create(t, endpoints("six", six, "n1"))
	create(t, service("six", six))
	create(t, bgpPeer("r1", "", func(s *v1beta1.BGPPeerSpec) {
		s.Interface, s.PeerASN, s.DynamicASN = "eth0", 0, v1beta1.DynamicASNExternal
	}))
	r := newGateway(t, l, "r1", router1+"/24")
	n := newNode(t, l, "n1", node1+"/24")
	n.serve(web)
	n.up()
	r.frr(`router bgp 64513
 no bgp ebgp-requires-policy
 neighbor eth0 interface remote-as external
 neighbor eth0 timers connect 1
 address-family ipv6 unicast
  neighbor eth0 activate
 exit-address-family
`)
	hop := linkLocal(n.Host, "eth0").String()
	eventually(t, "IPv4 with an IPv6 next hop", func() error { return wantOne(r.paths(host(web)), hop, "169.254.0.1") })
	eventually(t, "IPv6", func() error { return wantOne(r.paths(host(six)), hop) })
	eventually(t, "an answer by way of it", func() error {
		if who, err := ask(r.Host, web); err != nil || who != "n1" {
			return fmt.Errorf("%q, %w", who, err)
		}
		return nil
	})
	p := n.says("r1", "it is established", established)
	if len(p.Families) != 2 || p.PeerASN != 64513 {
		t.Errorf("the session is %+v", p)
	}
}

// TestWeightsInternal: within an AS, too, nodes have weights in proportion to their pods, also after these have moved.
func TestWeightsInternal(t *testing.T) {
	l := newScene(t, func(s *v1beta1.BGPAdvertisementSpec) { s.WeightByEndpoints = true })
	a := web.Next()
	pods := endpoints("local", a, "n1", "n1", "n1", "n2")
	create(t, pods)
	create(t, service("local", a, local))
	create(t, bgpPeer("r1", router1, func(s *v1beta1.BGPPeerSpec) { s.MyASN = 64513 }))
	r := newGateway(t, l, "r1", router1+"/24")
	r.frr(`router bgp 64513
 neighbor ` + node1 + ` remote-as 64513
 neighbor ` + node2 + ` remote-as 64513
 neighbor ` + node1 + ` timers connect 1
 neighbor ` + node2 + ` timers connect 1
 address-family ipv4 unicast
  maximum-paths ibgp 8
 exit-address-family
`)
	n1, n2 := newNode(t, l, "n1", node1+"/24"), newNode(t, l, "n2", node2+"/24")
	n1.start()
	n2.up()
	weighted := func(one, two int) {
		t.Helper()
		eventually(t, fmt.Sprintf("weights of %d to %d", one, two), func() error {
			if p := r.paths(host(a)); len(p) != 2 || p[node1]*two != p[node2]*one || p[node1] == 0 {
				return fmt.Errorf("they are %v", p)
			}
			return nil
		})
	}
	weighted(3, 1)
	moved := endpoints("local", a, "n1", "n2", "n2", "n2")
	edit(t, pods, func(o *discoveryv1.EndpointSlice) { o.Endpoints = moved.Endpoints })
	weighted(1, 3)
}

// TestRouterOutOfReach: behind a cable that is cut, the kernel finds nobody, or the attempt is over before it knows. The
// SpeakerStatus says one thing all the time: it is not written for each attempt.
func TestRouterOutOfReach(t *testing.T) {
	l := newScene(t)
	create(t, bfdProfile("fast", 300, 4)) // its packets have the kernel ask for the router all the time
	create(t, bgpPeer("r1", router1, withBFD))
	newGateway(t, l, "r1", router1+"/24")
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	says := func(what, reason string) {
		n.says("r1", what, func(p v1beta1.SpeakerPeer) bool { return p.Reason == reason })
	}
	says("nobody listens", "ConnectionRefused")
	l.Down("n1")
	says("nobody is there", "Unreachable")
	read := func() (s v1beta1.SpeakerStatus) {
		must(t, api.Get(t.Context(), client.ObjectKey{Name: n.Name}, &s))
		return s
	}
	const attempts = `belfry_bgp_session_attempts_total{peer="r1"}`
	before, tried := read(), n.metric(attempts)
	eventually(t, "a dozen attempts more", func() error {
		if more := n.metric(attempts) - tried; more < 12 {
			return fmt.Errorf("they are %v", more)
		}
		return nil
	})
	if now := read(); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was written meanwhile:\n%+v, plan %+v\n%+v, plan %+v", before.Status, before.Status.Plan, now.Status, now.Status.Plan)
	}
	l.Up("n1")
	says("nobody listens again", "ConnectionRefused")
}
