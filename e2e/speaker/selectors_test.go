package speaker

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestPeersComeAndGo: with a node's labels, and with their objects. The other router's session and route are not touched.
func TestPeersComeAndGo(t *testing.T) {
	l := newScene(t, func(s *v1beta1.BGPAdvertisementSpec) { s.Peers = []string{"r1"} })
	labelled := func(key string) []metav1.LabelSelector {
		return []metav1.LabelSelector{{MatchLabels: map[string]string{key: "yes"}}}
	}
	create(t, &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Spec: v1beta1.BGPAdvertisementSpec{
		Peers: []string{"r2"}, NodeSelectors: labelled("announces"),
	}})
	create(t, bgpPeer("r1", router1))
	one, two := newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	one.frr(frrConfig([]string{node1}))
	two.frr(frrConfig([]string{node1}))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	one.has(host(web), node1)
	first := n.says("r1", "it is established", established)
	touched := one.watch()
	label := func(keys ...string) {
		t.Helper()
		edit(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}, func(o *corev1.Node) {
			o.Labels = map[string]string{}
			for _, k := range keys {
				o.Labels[k] = "yes"
			}
		})
	}
	none := func(p v1beta1.SpeakerPeer) bool { return p.Name == "" }

	second := bgpPeer("r2", router2, func(s *v1beta1.BGPPeerSpec) { s.NodeSelectors = labelled("speaks") })
	create(t, second)
	label("announces")
	n.says("r2", "it is another node's", none)
	label("speaks", "announces")
	p := n.says("r2", "it is established", established)
	two.has(host(web), node1)
	label("speaks")
	two.has(host(web))
	label("speaks", "announces")
	two.has(host(web), node1)

	edit(t, second, func(o *v1beta1.BGPPeer) {
		o.Labels = map[string]string{"rack": "7"}
		o.Spec.HoldTime, o.Spec.KeepaliveTime, o.Spec.ConnectTime = seconds(30), seconds(7), seconds(2)
	})
	third := bgpPeer("r3", "10.9.0.103", func(s *v1beta1.BGPPeerSpec) { s.ConnectTime = nil })
	create(t, third)
	n.says("r3", "nobody is there", func(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionConnecting && p.Reason != "" })
	if now := n.peer("r2"); !established(now) || now.Flaps != 0 || !now.Since.Equal(p.Since) {
		t.Errorf("after a change of timers and labels the session is %+v, was %+v", now, p)
	}
	remove(t, third)
	n.says("r3", "it is forgotten", none)
	edit(t, second, func(o *v1beta1.BGPPeer) { o.Spec.RouterID = "192.0.2.77" })
	n.says("r2", "a change that needs another session", func(p v1beta1.SpeakerPeer) bool { return established(p) && p.Flaps == 1 && p.HoldTime == 30 })
	two.has(host(web), node1)
	label("announces")
	n.says("r2", "it is another node's again", none)
	two.has(host(web))
	label("speaks", "announces")
	two.has(host(web), node1)
	remove(t, second)
	two.has(host(web))
	n.says("r2", "it is forgotten", none)

	if now := n.peer("r1"); !established(now) || now.Flaps != 0 || !now.Since.Equal(first.Since) {
		t.Errorf("the other session was %+v, is %+v", first, now)
	}
	select {
	case e := <-touched:
		t.Errorf("the other router's route was touched: %+v", e)
	default:
	}
}
