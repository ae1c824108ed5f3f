package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// soonTold has the controller tell soon that a Service is not announced.
func soonTold(o *controllers.Options) { o.AnnouncedPatience = 500 * time.Millisecond }

// readySpeaker creates a ready node with the Ready Pod of a speaker that announces these addresses.
func readySpeaker(t *testing.T, name string, addresses ...string) *v1beta1.SpeakerStatus {
	t.Helper()
	node, pod, status := newSpeaker(t, name)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	must(t, shared.client.Status().Update(t.Context(), node))
	podReady(t, pod, corev1.ConditionTrue)
	speaks(t, status, func(s *v1beta1.SpeakerStatusStatus) {
		s.State = "ready"
		s.Interfaces = []v1beta1.SpeakerInterface{{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Subnets: []string{"192.0.2.0/24", "fe80::/64"}}}
		s.L2.Addresses = addresses
	})
	return status
}

func podReady(t *testing.T, pod *corev1.Pod, is corev1.ConditionStatus) {
	t.Helper()
	eventually(t, "the Pod's status", func() error {
		get(t, pod)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is}}
		return shared.client.Status().Update(t.Context(), pod)
	})
}

func speaks(t *testing.T, s *v1beta1.SpeakerStatus, change func(*v1beta1.SpeakerStatusStatus)) {
	t.Helper()
	eventually(t, "the status of "+s.Name, func() error {
		get(t, s)
		change(&s.Status)
		return shared.client.Status().Update(t.Context(), s)
	})
}

func claims(epoch int64, addresses ...string) func(*v1beta1.SpeakerStatusStatus) {
	return func(s *v1beta1.SpeakerStatusStatus) {
		s.L2.Addresses, s.L2.Claims = addresses, []v1beta1.SpeakerClaim{{Epoch: epoch, Addresses: addresses}}
	}
}

// endpoints gives a Service a ready endpoint on a node.
func endpoints(t *testing.T, s *corev1.Service, node string) *discoveryv1.EndpointSlice {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"198.51.100.1"}, NodeName: &node}},
	}
	create(t, slice)
	t.Cleanup(func() { must(t, client.IgnoreNotFound(shared.client.Delete(context.Background(), slice))) })
	return slice
}

func announced(s *corev1.Service) *metav1.Condition {
	return meta.FindStatusCondition(s.Status.Conditions, v1beta1.ConditionAnnounced)
}

// announcedIs waits until the Announced condition says so, with these words.
func announcedIs(t *testing.T, s *corev1.Service, status metav1.ConditionStatus, reason, words string) {
	t.Helper()
	eventually(t, "Announced of "+s.Name, func() error {
		get(t, s)
		if c := announced(s); c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, words) {
			return fmt.Errorf("got %+v, want %s %s %q", c, status, reason, words)
		}
		return nil
	})
}

// TestAnnounced follows a Service from nobody's to one node's, to another's, and away; each step is one write.
func TestAnnounced(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.40-192.0.2.41"))
	c := start(t, soonTold)
	s := newService("follow")
	create(t, s)
	hasAddresses(t, s, "192.0.2.40")
	announcedIs(t, s, metav1.ConditionFalse, "NoAdvertisement", `192.0.2.40: no L2Advertisement selects pool "a"`)
	hasEvent(t, s, "NotAnnounced", "NoAdvertisement: 192.0.2.40")
	create(t, &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}})
	announcedIs(t, s, metav1.ConditionFalse, "NoEndpoints", "192.0.2.40: ")
	endpoints(t, s, "ann-1")
	announcedIs(t, s, metav1.ConditionFalse, "NoNode", "192.0.2.40: ")

	one := readySpeaker(t, "ann-1")
	announcedIs(t, s, metav1.ConditionFalse, "NotYetAnnounced", "node ann-1 is to announce it")
	speaks(t, one, func(s *v1beta1.SpeakerStatusStatus) {
		s.L2.Problems = []v1beta1.SpeakerProblem{{Reason: "Conflict", Addresses: []string{"192.0.2.40-192.0.2.41"}}}
		s.L2.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.40", MAC: "02:00:00:00:00:99", Interface: "eth0", Since: metav1.Now()}}
	})
	announcedIs(t, s, metav1.ConditionFalse, "Conflict", "192.0.2.40: host 02:00:00:00:00:99 has the address, says node ann-1 of its interface eth0")
	speaks(t, one, func(s *v1beta1.SpeakerStatusStatus) {
		s.L2 = v1beta1.SpeakerL2{Addresses: []string{"192.0.2.39-192.0.2.40"}}
	})
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "by node ann-1")
	hasEvent(t, s, "Announced", "by node ann-1")

	before := c.net.written()["PATCH services/status"]
	version := s.ResourceVersion
	two := readySpeaker(t, "ann-2")
	speaks(t, two, claims(2, "192.0.2.40"))
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "by node ann-2")
	if got := c.net.written()["PATCH services/status"] - before; got != 1 || s.ResourceVersion == version {
		t.Errorf("%d writes when the owner moved", got)
	}
	if got := c.metric("belfry_announced_services", "status=True", "reason=Announced"); got != 1 {
		t.Errorf("the metric shows %v announced Services", got)
	}

	edit(t, s, func(s *corev1.Service) {
		s.Spec.Type, s.Spec.AllocateLoadBalancerNodePorts = corev1.ServiceTypeClusterIP, nil
	})
	eventually(t, "the condition goes with the address", func() error {
		if get(t, s); announced(s) != nil || len(ips(s)) > 0 {
			return fmt.Errorf("%+v", s.Status)
		}
		return nil
	})
}

// TestAnnouncedCountsNoDeadSpeaker: what a speaker wrote counts while its Pod is Ready and no other misses it.
func TestAnnouncedCountsNoDeadSpeaker(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.44"), &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}})
	s := newService("outlives")
	create(t, s)
	endpoints(t, s, "dead-1")
	readySpeaker(t, "dead-1", "192.0.2.44")
	two := readySpeaker(t, "dead-2")
	start(t, soonTold)
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "by node dead-1")
	speaks(t, two, func(s *v1beta1.SpeakerStatusStatus) { s.Members.Missing = []string{"dead-1"} })
	announcedIs(t, s, metav1.ConditionFalse, "NotYetAnnounced", "node dead-2 is to announce it")
	speaks(t, two, claims(2, "192.0.2.44"))
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "by node dead-2")
	var pod corev1.Pod
	must(t, shared.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "speaker-dead-2"}, &pod))
	podReady(t, &pod, corev1.ConditionFalse)
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "by node dead-1")
}

// TestAnnouncedPerAddress: the condition names the node of each address where they differ, and the one that lacks its.
func TestAnnouncedPerAddress(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.46", "2001:db8::46"), &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}})
	s := newService("both", families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol))
	create(t, s)
	readySpeaker(t, "per-1", "192.0.2.46")
	two := readySpeaker(t, "per-2", "2001:db8::46")
	start(t, soonTold)
	announcedIs(t, s, metav1.ConditionTrue, "Announced", "192.0.2.46 by node per-1, 2001:db8::46 by node per-2")
	speaks(t, two, func(s *v1beta1.SpeakerStatusStatus) { s.L2.Addresses = nil })
	announcedIs(t, s, metav1.ConditionFalse, "NoEndpoints", "2001:db8::46: ")
	if words := announced(s).Message; strings.Contains(words, "192.0.2.46: ") {
		t.Errorf("the condition complains of the address that is announced: %q", words)
	}
}

// TestAnnouncedOfForeignServices: nothing is said of Services that others serve.
func TestAnnouncedOfForeignServices(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.48"))
	other := "example.com/other"
	foreign := newService("foreign", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &other })
	create(t, foreign)
	foreign.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.49"}}
	must(t, shared.client.Status().Update(t.Context(), foreign))
	start(t, soonTold)
	own := newService("own")
	create(t, own)
	announcedIs(t, own, metav1.ConditionFalse, "NoAdvertisement", "")
	if get(t, foreign); len(foreign.Status.Conditions) > 0 {
		t.Errorf("%+v", foreign.Status.Conditions)
	}
}

// TestAdvertisementConditions: what the nodes of the cluster make of an advertisement.
func TestAdvertisementConditions(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.50"))
	start(t)
	readySpeaker(t, "adv-1")
	nowhere := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}, Spec: v1beta1.L2AdvertisementSpec{
		NodeSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"zone": "none"}}}}}
	unwired := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "unwired"}, Spec: v1beta1.L2AdvertisementSpec{
		Interfaces: []v1beta1.InterfaceName{"wg*", "bond0"}}}
	wired := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "wired"}, Spec: v1beta1.L2AdvertisementSpec{
		Interfaces: []v1beta1.InterfaceName{"eth*"}}}
	create(t, nowhere, unwired, wired)
	ready(t, nowhere, metav1.ConditionFalse, "NoNodeSelected")
	hasEvent(t, nowhere, "NoNodeSelected", "none of the cluster's")
	c := ready(t, unwired, metav1.ConditionFalse, "NoInterface")
	if want := "spec.interfaces: no node has wg* or bond0; node adv-1 has eth0"; c.Message != want {
		t.Errorf("the condition says %q, want %q", c.Message, want)
	}
	ready(t, wired, metav1.ConditionTrue, "Valid")
	edit(t, unwired, func(a *v1beta1.L2Advertisement) { a.Spec.Interfaces = []v1beta1.InterfaceName{"eth0"} })
	ready(t, unwired, metav1.ConditionTrue, "Valid")
	younger := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "z-younger"}, Spec: v1beta1.L2AdvertisementSpec{
		IPAddressPools: []string{"a", "later"}, Failback: v1beta1.FailbackNever}}
	create(t, younger)
	c = ready(t, younger, metav1.ConditionFalse, "UnknownPool")
	if !strings.Contains(c.Message, "no IPAddressPool later; L2Advertisement nowhere, which is older") && !strings.Contains(c.Message, "no IPAddressPool later; L2Advertisement") {
		t.Errorf("the condition says %q", c.Message)
	}
}

// TestExcludeLabelIgnored: where every ready node has the label, advertisements say that it is ignored.
func TestExcludeLabelIgnored(t *testing.T) {
	clean(t)
	all := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	create(t, all)
	readySpeaker(t, "alone-1")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "alone-1"}}
	edit(t, node, func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} })
	start(t)
	told := func(want bool) {
		eventually(t, "the condition tells", func() error {
			get(t, all)
			c := meta.FindStatusCondition(all.Status.Conditions, v1beta1.ConditionReady)
			if c == nil || c.Status != metav1.ConditionTrue || strings.Contains(c.Message, "so the label is ignored") != want {
				return fmt.Errorf("%+v", c)
			}
			return nil
		})
	}
	told(true)
	edit(t, node, func(n *corev1.Node) { n.Labels = nil })
	told(false)
}

func TestAdvertisementRules(t *testing.T) {
	clean(t)
	weight := func(w int32) v1beta1.L2AdvertisementSpec {
		return v1beta1.L2AdvertisementSpec{PreferredNodeSelectors: []v1beta1.PreferredNodes{{Weight: w}}}
	}
	interfaces := func(names ...v1beta1.InterfaceName) v1beta1.L2AdvertisementSpec {
		return v1beta1.L2AdvertisementSpec{Interfaces: names}
	}
	for name, tc := range map[string]struct {
		spec v1beta1.L2AdvertisementSpec
		want string // in the refusal; empty: accepted
	}{
		"empty":             {v1beta1.L2AdvertisementSpec{}, ""},
		"names-and-globs":   {interfaces("eth0", "en*", "bond?", "en[0-9a-f]p[^0]", `eth\*`, "eth0.100", "br-lan@x"), ""},
		"open-bracket":      {interfaces("eth0", "en[0-9"), `"en[0-9" is no glob: after [ come characters`},
		"empty-brackets":    {interfaces("en[]"), `"en[]" is no glob`},
		"backwards":         {interfaces("en[-9]"), `"en[-9]" is no glob`},
		"escaped-nothing":   {interfaces(`en\`), `is no glob`},
		"slash":             {interfaces("eth/0"), `"eth/0" has a slash or a space in it`},
		"space":             {interfaces("eth 0"), `"eth 0" has a slash or a space in it`},
		"the-same-twice":    {interfaces("eth0", "eth0"), "Duplicate value"},
		"weightless":        {weight(0), "weight"},
		"too-heavy":         {weight(101), "weight"},
		"light":             {weight(1), ""},
		"heavy":             {weight(100), ""},
		"failback":          {v1beta1.L2AdvertisementSpec{Failback: "sometimes"}, "failback"},
		"conflictdetection": {v1beta1.L2AdvertisementSpec{ConflictDetection: "ask"}, "conflictDetection"},
		"unnamed-pool":      {v1beta1.L2AdvertisementSpec{IPAddressPools: []string{""}}, "ipAddressPools"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "rule-" + name}, Spec: tc.spec}
			switch err := shared.client.Create(t.Context(), a); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "" && (a.Spec.Failback != v1beta1.FailbackDelayed || a.Spec.ConflictDetection != v1beta1.ConflictProbe):
				t.Errorf("defaults %q, %q", a.Spec.Failback, a.Spec.ConflictDetection)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
