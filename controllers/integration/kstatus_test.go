package integration

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// kstatus is how Flux and others that go by sigs.k8s.io/cli-utils/pkg/kstatus read an object of a kind that they do not know:
//
//	status.observedGeneration is there and another   InProgress
//	condition Reconciling is True                    InProgress
//	condition Stalled is True                        Failed
//	condition Ready is not True                      InProgress
//	else, be there no status at all                  Current
//
// It returns the message of the condition, too.
func kstatus(u *unstructured.Unstructured) (status, message string) {
	observed, found, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if found && observed != u.GetGeneration() {
		return "InProgress", "not looked at"
	}
	var list struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &list); err != nil {
		return "Unknown", err.Error()
	}
	is := func(kind string) *metav1.Condition { return meta.FindStatusCondition(list.Status.Conditions, kind) }
	if c := is("Reconciling"); c != nil && c.Status == metav1.ConditionTrue {
		return "InProgress", c.Message
	}
	if c := is("Stalled"); c != nil && c.Status == metav1.ConditionTrue {
		return "Failed", c.Message
	}
	if c := is("Ready"); c != nil && c.Status != metav1.ConditionTrue {
		return "InProgress", c.Message
	}
	return "Current", ""
}

// raw reads an object as somebody who does not know its kind.
func raw(t *testing.T, o client.Object) *unstructured.Unstructured {
	t.Helper()
	kind, err := apiutil.GVKForObject(o, shared.client.Scheme())
	must(t, err)
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetName(o.GetName())
	u.SetNamespace(o.GetNamespace())
	return get(t, u)
}

// TestKstatus: whoever applies objects of ours and waits is told neither too early nor never, of the first version of an
// object and of the next.
func TestKstatus(t *testing.T) {
	clean(t)
	pool := newPool("kstatus", "192.0.2.208/30")
	reservation := newReservation("kstatus", v1beta1.IPReservationSpec{Pool: "kstatus"})
	l2 := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "kstatus"}}
	peer := newPeer("kstatus", v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: 64501, PeerAddress: "192.0.2.1"})
	bgp := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "kstatus"}}
	community := &v1beta1.Community{
		ObjectMeta: metav1.ObjectMeta{Name: "kstatus"},
		Spec:       v1beta1.CommunitySpec{Communities: []v1beta1.CommunityAlias{{Name: "one", Value: "64500:1"}}},
	}
	profile := &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "kstatus"}}
	objects := []client.Object{pool, reservation, l2, peer, bgp, community, profile}
	create(t, objects...)
	all := func(what, want string) {
		t.Helper()
		for _, o := range objects {
			if is, message := kstatus(raw(t, o)); is != want {
				t.Errorf("%s, %T is %s: %s", what, o, is, message)
			}
		}
	}
	becomes := func(o client.Object, want, says string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%T is %s", o, want), func() error {
			if is, message := kstatus(raw(t, o)); is != want || says != "" && message != says {
				return fmt.Errorf("it is %s: %s", is, message)
			}
			return nil
		})
	}

	all("before anybody has looked", "InProgress")
	c := start(t)
	for _, o := range objects {
		becomes(o, "Current", "")
	}
	must(t, c.stop())

	edit(t, pool, func(o *v1beta1.IPAddressPool) { o.Spec.Addresses = append(o.Spec.Addresses, "192.0.2.212/30") })
	edit(t, reservation, func(o *v1beta1.IPReservation) { o.Spec.Families = []v1beta1.IPFamily{"IPv4"} })
	edit(t, l2, func(o *v1beta1.L2Advertisement) { o.Spec.IPAddressPools = []string{"kstatus"} })
	edit(t, peer, func(o *v1beta1.BGPPeer) { o.Spec.PeerASN = 64502 })
	edit(t, bgp, func(o *v1beta1.BGPAdvertisement) { o.Spec.IPAddressPools = []string{"kstatus"} })
	edit(t, community, func(o *v1beta1.Community) { o.Spec.Communities[0].Value = "64500:2" })
	multiplier := int32(5)
	edit(t, profile, func(o *v1beta1.BFDProfile) { o.Spec.DetectMultiplier = &multiplier })
	all("after an edit that nobody has looked at", "InProgress")
	start(t)
	for _, o := range objects {
		becomes(o, "Current", "")
	}

	edit(t, bgp, func(o *v1beta1.BGPAdvertisement) { o.Spec.Communities = []string{"nobody"} })
	eventually(t, "the advertisement's problem", func() error {
		if is, message := kstatus(raw(t, bgp)); is != "InProgress" || message == "not looked at" {
			return fmt.Errorf("it is %s: %s", is, message)
		}
		return nil
	})
	edit(t, bgp, func(o *v1beta1.BGPAdvertisement) { o.Spec.Communities = nil })
	becomes(bgp, "Current", "")
}
