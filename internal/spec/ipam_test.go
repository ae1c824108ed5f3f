package spec

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestParsePoolRules(t *testing.T) {
	o := pool("a", 0, "192.0.2.0/24")
	o.Spec.Exclude = []v1beta1.AddressRange{"192.0.2.8/30", "192.0.2.12", "192.0.2.1"}
	o.Spec.AvoidBuggyIPs, o.Spec.Disabled, o.Spec.MaxPerNamespace, o.Spec.Sharing = true, true, 3, v1beta1.SharingSameNamespace
	o.Spec.ReuseCooldown = &metav1.Duration{Duration: time.Hour}
	o.Spec.AllocateTo = &v1beta1.ServiceAllocation{
		Priority: 7, Namespaces: []string{"x"},
		NamespaceSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"team": "a"}}},
		ServiceSelectors:   []metav1.LabelSelector{{MatchLabels: map[string]string{"app": "web"}}},
	}
	snap, problems := Parse(Objects{Pools: []v1beta1.IPAddressPool{o}})
	if len(problems) != 0 || len(snap.Pools) != 1 {
		t.Fatalf("%+v, %+v", snap, problems)
	}
	p := snap.Pools[0]
	got := fmt.Sprint(p.Exclude, p.AvoidBuggyIPs, p.Disabled, p.MaxPerNamespace, p.Sharing == SharingSameNamespace, p.ReuseCooldown, p.Priority)
	if want := "[192.0.2.1 192.0.2.8-192.0.2.12] true true 3 true 1h0m0s 7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	web, other := labels.Set{"app": "web"}, labels.Set{"app": "other"}
	for _, c := range []struct {
		namespace  string
		of, labels labels.Set
		want       bool
	}{
		{"x", nil, web, true},
		{"x", nil, other, false},
		{"y", nil, web, false},
		{"y", labels.Set{"team": "a"}, web, true},
		{"y", labels.Set{"team": "b"}, web, false},
	} {
		if got := p.Allowed.Allows(c.namespace, c.of, NewLabels(c.labels)); got != c.want {
			t.Errorf("namespace %s %v, Service %v: %v", c.namespace, c.of, c.labels, got)
		}
	}
}

func TestPoolsThatAreWrong(t *testing.T) {
	near := []metav1.LabelSelector{{}, {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}}
	exclude, namespaces, services := pool("exclude", 0, "192.0.2.0/28"), pool("namespaces", 1, "192.0.2.16/28"), pool("services", 2, "192.0.2.32/28")
	exclude.Spec.Exclude = []v1beta1.AddressRange{"192.0.2.1", "192.0.2.9-192.0.2.8"}
	namespaces.Spec.AllocateTo = &v1beta1.ServiceAllocation{NamespaceSelectors: near}
	services.Spec.AllocateTo = &v1beta1.ServiceAllocation{ServiceSelectors: near}
	snap, problems := Parse(Objects{Pools: []v1beta1.IPAddressPool{exclude, namespaces, services, pool("good", 3, "192.0.2.48/28")}})
	if len(snap.Pools) != 1 || snap.Pools[0].Name != "good" {
		t.Errorf("pools %+v", snap.Pools)
	}
	checkProblems(t, "IPAddressPool", []string{
		"exclude BadRange spec.exclude[1]",
		"namespaces BadSelector spec.serviceAllocation.namespaceSelectors[1]",
		"services BadSelector spec.serviceAllocation.serviceSelectors[1]",
	}, problems)
}

func TestParseReservation(t *testing.T) {
	at := metav1.NewTime(epoch)
	full := v1beta1.IPReservation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "r", UID: "u", CreationTimestamp: at, Labels: map[string]string{"a": "b"}},
		Spec:       v1beta1.IPReservationSpec{Pool: "p", Families: []v1beta1.IPFamily{"IPv6", "IPv4"}, ServiceName: "web"},
		Status: v1beta1.IPReservationStatus{
			Addresses: []string{"2001:db8::1", "192.0.2.1"}, Pools: []string{"p", "p"}, Holder: "web",
			Conditions: []metav1.Condition{{Type: v1beta1.ConditionReserved, Status: metav1.ConditionTrue, LastTransitionTime: at}},
		},
	}
	addrs := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	named := v1beta1.IPReservation{Spec: v1beta1.IPReservationSpec{Addresses: []v1beta1.Address{"192.0.2.1", "192.0.2.1", "2001:db8::1"}}}
	for _, c := range []struct {
		name string
		o    v1beta1.IPReservation
		want Reservation
	}{
		{"everything", full, Reservation{
			Key: types.NamespacedName{Namespace: "ns", Name: "r"}, UID: "u", Created: epoch, Families: []Family{IPv6, IPv4}, Pool: "p", ServiceName: "web",
			Labels: Labels{{"a", "b"}}, Held: addrs("2001:db8::1", "192.0.2.1"), HeldSince: epoch, Pools: []string{"p", "p"},
		}},
		{"addresses", named, Reservation{Families: []Family{IPv4}, Addresses: addrs("192.0.2.1", "2001:db8::1")}},
		{"nothing", v1beta1.IPReservation{}, Reservation{Families: []Family{IPv4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, ParseReservation(&c.o), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOccupied(t *testing.T) {
	node := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244.1.0/24", "fd00:244:1::/64", "nonsense"}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeExternalIP, Address: "2001:db8::1"},
			{Type: corev1.NodeHostName, Address: "192.0.2.2"}, {Type: corev1.NodeInternalIP, Address: ""},
		}},
	}
	services := networkingv1.ServiceCIDR{Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/12"}}}
	flags, err := ParseOccupied("pod CIDR", []string{"10.0.0.0/16"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range append(append(OccupiedByNode(&node), OccupiedByServices(&services)...), flags...) {
		got = append(got, fmt.Sprintf("%s is %s", o.Range, o.What))
	}
	if d := cmp.Diff([]string{
		"192.0.2.1 is the InternalIP of node n1",
		"2001:db8::1 is the ExternalIP of node n1",
		"10.244.1.0-10.244.1.255 is in the pod CIDR 10.244.1.0/24 of node n1",
		"fd00:244:1::-fd00:244:1:0:ffff:ffff:ffff:ffff is in the pod CIDR fd00:244:1::/64 of node n1",
		"10.96.0.0-10.111.255.255 is in the Service CIDR 10.96.0.0/12",
		"10.0.0.0-10.0.255.255 is in the pod CIDR 10.0.0.0/16",
	}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"10.0.0.1/16", "10.0.0.0", "x"} {
		if _, err := ParseOccupied("pod CIDR", []string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
