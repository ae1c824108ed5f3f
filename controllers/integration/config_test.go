package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
	"github.com/belfry-lb/belfry/internal/kube"
)

func TestPoolRules(t *testing.T) {
	clean(t)
	for _, tc := range []struct {
		address v1beta1.AddressRange
		want    string // in the refusal; empty: accepted
	}{
		{"192.0.2.0/24", ""},
		{"192.0.2.7", ""},
		{"192.0.2.1-192.0.2.9", ""},
		{"192.0.2.1 - 192.0.2.9", ""},
		{"2001:db8::/64", ""},
		{"2001:db8::1-2001:db8::ffff", ""},
		{"192.0.2.7/24", `"192.0.2.7/24" has host bits set: write 192.0.2.0/24 for the whole network, or 192.0.2.7/32 for the one address`},
		{"2001:db8::7/64", `"2001:db8::7/64" has host bits set: write 2001:db8::/64 for the whole network, or 2001:db8::7/128 for the one address`},
		{"hello", `"hello" is no CIDR, no range and no address`},
		{"192.0.2.0/33", `"192.0.2.0/33" is no CIDR`},
		{"192.0.2.1-192.0.2.3-192.0.2.4", `is no CIDR, no range and no address`},
		{"192.0.2.1-2001:db8::1", `"192.0.2.1-2001:db8::1" mixes IPv4 and IPv6`},
		{"192.0.2.256", `is no CIDR, no range and no address`},
		{"127.0.0.1", `"127.0.0.1" reaches into`},
		{"127.1.0.0/16", `"127.1.0.0/16" reaches into`},
		{"126.0.0.0/7", `"126.0.0.0/7" reaches into`},
		{"0.0.0.0/0", `"0.0.0.0/0" reaches into`},
		{"0.1.0.0/16", `"0.1.0.0/16" reaches into`},
		{"0.0.0.9", `"0.0.0.9" reaches into`},
		{"128.0.0.0/2", `"128.0.0.0/2" reaches into`},
		{"169.254.1.1-169.254.1.9", `reaches into`},
		{"223.255.255.0-224.0.0.1", `reaches into`},
		{"239.1.2.3", `reaches into`},
		{"240.0.0.0/4", `reaches into`},
		{"255.255.255.255", `reaches into`},
		{"::/0", `reaches into`},
		{"::1", `reaches into`},
		{"fe80::1 - fe80::9", `reaches into`},
		{"fe80::/64", `reaches into`},
		{"f000::/4", `reaches into`},
		{"ff02::/16", `reaches into`},
		{"64.0.0.0/3", ""},
		{"10.0.0.0/8", ""},
		{"172.16.0.0/12", ""},
		{"240.0.0.0/5", ""},
		{"fd00::/8", ""},
		{"2000::/3", ""},
	} {
		t.Run(string(tc.address), func(t *testing.T) {
			err := shared.client.Create(t.Context(), newPool("rule", tc.address))
			if tc.want == "" {
				must(t, err)
				must(t, shared.client.Delete(t.Context(), newPool("rule")))
				return
			}
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := shared.client.Create(t.Context(), newPool("empty")); !apierrors.IsInvalid(err) {
		t.Errorf("a pool without addresses: %v, want that it is refused", err)
	}
}

func TestOneBadPoolHurtsOnlyItself(t *testing.T) {
	clean(t)
	good, backwards := newPool("good", "192.0.2.128/30"), newPool("backwards", "192.0.2.140-192.0.2.136")
	create(t, backwards, good)
	start(t)
	s := newService("served-all-the-same")
	create(t, s)
	hasAddresses(t, s, "192.0.2.128")
	c := ready(t, backwards, metav1.ConditionFalse, "BadRange")
	if want := `spec.addresses[0]: "192.0.2.140-192.0.2.136" ends before it begins: write 192.0.2.136-192.0.2.140`; c.Message != want {
		t.Errorf("the condition says %q, want %q", c.Message, want)
	}
	hasEvent(t, backwards, "BadRange", "ends before it begins")
	ready(t, good, metav1.ConditionTrue, "Valid")
	edit(t, backwards, func(p *v1beta1.IPAddressPool) { p.Spec.Addresses = []v1beta1.AddressRange{"192.0.2.136-192.0.2.140"} })
	ready(t, backwards, metav1.ConditionTrue, "Valid")
}

func TestOverlappingPools(t *testing.T) {
	clean(t)
	elder, younger := newPool("a-elder", "192.0.2.144/29"), newPool("b-younger", "192.0.2.148/30")
	create(t, elder, younger)
	start(t)
	c := ready(t, younger, metav1.ConditionFalse, "Overlap")
	if !strings.Contains(c.Message, "of pool a-elder, which is older") {
		t.Errorf("the condition does not name the other pool: %q", c.Message)
	}
	ready(t, elder, metav1.ConditionTrue, "Valid")
	must(t, shared.client.Delete(t.Context(), elder))
	ready(t, younger, metav1.ConditionTrue, "Valid")
}

func TestPoolStatus(t *testing.T) {
	clean(t)
	pool := newPool("counted", "192.0.2.160/29", "2001:db8:160::/125")
	create(t, pool)
	c := start(t)
	want := v1beta1.IPAddressPoolStatus{ObservedGeneration: 1, AvailableIPv4: 8, AvailableIPv6: 8, Assigned: "v4 0, v6 0", Available: "v4 8, v6 8"}
	counts := func() v1beta1.IPAddressPoolStatus {
		s := get(t, pool).Status
		s.Conditions = nil
		return s
	}
	same := func() error {
		if diff := cmp.Diff(want, counts()); diff != "" {
			return fmt.Errorf("%s", diff)
		}
		return nil
	}
	eventually(t, "an empty pool", same)
	create(t, newService("counted-1"), newService("counted-2", families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol)))
	want = v1beta1.IPAddressPoolStatus{
		ObservedGeneration: 1, AssignedIPv4: 2, AssignedIPv6: 1, AvailableIPv4: 6, AvailableIPv6: 7, Assigned: "v4 2, v6 1", Available: "v4 6, v6 7",
	}
	eventually(t, "three addresses assigned", same)
	for state, n := range map[string]float64{"assigned": 2, "available": 6} {
		if got := c.metric("belfry_pool_addresses", "pool=counted", "family=IPv4", "state="+state); got != n {
			t.Errorf("belfry_pool_addresses{family=IPv4,state=%s} = %v, want %v", state, got, n)
		}
	}
	must(t, shared.client.Delete(t.Context(), pool))
	eventually(t, "the pool's metrics go", func() error {
		if got := c.metric("belfry_pool_addresses", "pool=counted"); got != 0 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

func TestAdvertisementStatus(t *testing.T) {
	clean(t)
	all := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	named := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "named"}, Spec: v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"nowhere"}}}
	bad := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: v1beta1.L2AdvertisementSpec{
		NodeSelectors: []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}}}}
	create(t, all, named, bad)
	start(t)
	ready(t, all, metav1.ConditionTrue, "Valid")
	ready(t, named, metav1.ConditionFalse, "UnknownPool")
	ready(t, bad, metav1.ConditionFalse, "BadSelector")
	hasEvent(t, bad, "BadSelector", "spec.nodeSelectors[0]")
	create(t, newPool("nowhere", "192.0.2.176/30"))
	ready(t, named, metav1.ConditionTrue, "Valid")
}

func TestGossipKey(t *testing.T) {
	clean(t)
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "gossip-"}}
	create(t, own)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: own.Name, Name: kube.GossipSecret}}
	elsewhere := func(o *controllers.Options) { o.Namespace = own.Name }
	c := start(t, elsewhere)
	eventually(t, "a gossip key", func() error { return shared.client.Get(t.Context(), keyOf(s), s) })
	if n := len(s.Data[kube.GossipSecretKey]); n < 32 {
		t.Errorf("a key of %d bytes", n)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	version := s.ResourceVersion
	c = start(t, elsewhere)
	eventually(t, "a second start", func() error {
		if c.metric("belfry_api_writes_total", "kind=Secret", "result=conflict") != 1 {
			return fmt.Errorf("it has not tried yet")
		}
		return nil
	})
	if get(t, s); s.ResourceVersion != version {
		t.Error("the key was changed")
	}
}
