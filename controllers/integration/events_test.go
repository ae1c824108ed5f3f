package integration

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// told counts how often an event was told of an object, repetitions that are folded into one object included.
func told(t *testing.T, o client.Object, reason string) (times int32) {
	t.Helper()
	var list corev1.EventList
	must(t, shared.client.List(t.Context(), &list))
	for _, e := range list.Items {
		if e.InvolvedObject.UID != o.GetUID() || e.Reason != reason {
			continue
		}
		n := max(e.Count, 1)
		if e.Series != nil {
			n = max(n, e.Series.Count)
		}
		times += n
	}
	return times
}

// TestEventsAreForChanges: what is wrong, and who announces a Service, is told once, however often it is looked at: by full
// passes, by the next leader, and after an edit that does not touch it.
func TestEventsAreForChanges(t *testing.T) {
	clean(t)
	pool := newPool("backwards", "192.0.2.225-192.0.2.224")
	l2 := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "selects-badly"}, Spec: v1beta1.L2AdvertisementSpec{
		NodeSelectors: []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}}}}
	bgp := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "undefined"}, Spec: v1beta1.BGPAdvertisementSpec{Communities: []string{"red"}}}
	peer := newPeer("baseless", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1", Base: "nowhere"})
	served, lacking := newService("served", asks("belfry.dev/pool", "good")), newService("lacking", asks("belfry.dev/pool", "nowhere"))
	unheard := newService("unheard", asks("belfry.dev/pool", "quiet"))
	speaks(t, readySpeaker(t, "events-1", "192.0.2.226"), func(s *v1beta1.SpeakerStatusStatus) {
		s.BGP.Peers = []v1beta1.SpeakerPeer{{Name: "up", State: v1beta1.SessionEstablished}, {Name: "down", State: v1beta1.SessionConnecting, Reason: "ConnectionRefused", Message: "nobody listens"}}
	})
	up := newPeer("up", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1"})
	down := newPeer("down", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.2"})
	kept := newReservation("kept", v1beta1.IPReservationSpec{Pool: "held", Families: []v1beta1.IPFamily{"IPv4"}})
	vain := newReservation("vain", v1beta1.IPReservationSpec{Pool: "nowhere", Families: []v1beta1.IPFamily{"IPv4"}})
	works := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "works"}, Spec: v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"good"}}}
	create(t, newPool("good", "192.0.2.226"), newPool("held", "192.0.2.232"), newPool("quiet", "192.0.2.227-192.0.2.228"), works, pool, l2, bgp, peer, up, down, kept, vain, served, lacking, unheard)
	c := start(t, often, soonTold)
	reasons := map[client.Object][]string{
		pool: {"BadRange"}, l2: {"BadSelector"}, bgp: {"UnknownCommunity"}, peer: {"UnknownTemplate"},
		up: {"Established"}, down: {"ConnectionRefused"}, kept: {"AddressAssigned"}, vain: {"AssignmentFailed"},
		served: {"AddressAssigned", "Announced"}, lacking: {"AssignmentFailed"}, unheard: {"AddressAssigned", "NotAnnounced"},
	}
	for o, all := range reasons {
		for _, reason := range all {
			hasEvent(t, o, reason, "")
		}
	}
	c.fullPasses(3)
	must(t, c.stop())

	edit(t, pool, func(o *v1beta1.IPAddressPool) { o.Spec.AvoidBuggyIPs = true })
	edit(t, l2, func(o *v1beta1.L2Advertisement) { o.Spec.IPAddressPools = []string{"good"} })
	edit(t, bgp, func(o *v1beta1.BGPAdvertisement) { o.Spec.IPAddressPools = []string{"good"} })
	edit(t, peer, func(o *v1beta1.BGPPeer) { o.Spec.PeerASN = 64502 })
	edit(t, down, func(o *v1beta1.BGPPeer) { o.Spec.PeerASN = 64502 })
	edit(t, vain, func(o *v1beta1.IPReservation) { o.Labels = map[string]string{"touched": "yes"} })
	edit(t, served, func(o *corev1.Service) { o.Spec.Ports[0].Port = 81 })
	edit(t, lacking, func(o *corev1.Service) { o.Spec.Ports[0].Port = 81 })
	for _, o := range []*corev1.Service{served, unheard} { // the next leader has to write
		get(t, o)
		meta.RemoveStatusCondition(&o.Status.Conditions, v1beta1.ConditionAllocated)
		must(t, shared.client.Status().Update(t.Context(), o))
	}
	c = start(t, often, soonTold)
	for _, o := range []client.Object{pool, l2, bgp, peer} {
		eventually(t, fmt.Sprintf("a look at %T", o), func() error {
			if is, message := kstatus(raw(t, o)); is != "InProgress" || message == "not looked at" {
				return fmt.Errorf("it is %s: %s", is, message)
			}
			return nil
		})
	}
	for _, o := range []*corev1.Service{served, unheard} {
		eventually(t, "a write of "+o.Name, func() error {
			if get(t, o); meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAllocated) == nil {
				return fmt.Errorf("it has %+v", o.Status.Conditions)
			}
			return nil
		})
	}
	c.fullPasses(3)
	later, last := newService("later", asks("belfry.dev/pool", "nowhere")), newService("last", asks("belfry.dev/pool", "quiet"))
	create(t, later, last)
	hasEvent(t, later, "AssignmentFailed", "") // what was to be told before has been told
	hasEvent(t, last, "NotAnnounced", "")
	for o, all := range reasons {
		for _, reason := range all {
			if n := told(t, o, reason); n != 1 {
				t.Errorf("%T %s: %s was told %d times", o, o.GetName(), reason, n)
			}
		}
	}
	for o, reason := range map[client.Object]string{served: "NotAnnounced", unheard: "Announced"} {
		if n := told(t, o, reason); n != 0 {
			t.Errorf("%s: %s was told %d times", o.GetName(), reason, n)
		}
	}
}
