package integration

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// asks sets annotations: name, value, ….
func asks(pairs ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			s.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func port(protocol corev1.Protocol, n int32) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{{Port: n, Protocol: protocol}} }
}

func in(namespace string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Namespace = namespace }
}

// newNamespace creates a namespace for one test; an API server alone never finishes deleting one.
func newNamespace(t *testing.T, name string, labels map[string]string) *corev1.Namespace {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	create(t, n)
	return n
}

// says waits until the Allocated condition is false for this reason, in these words.
func says(t *testing.T, s *corev1.Service, reason, words string) {
	t.Helper()
	eventually(t, "condition of "+s.Name, func() error {
		get(t, s)
		if c := allocated(s); c.Status != metav1.ConditionFalse || c.Reason != reason || !strings.Contains(c.Message, words) {
			return fmt.Errorf("got %+v, want %s with %q", c, reason, words)
		}
		return nil
	})
}

func TestWishes(t *testing.T) {
	clean(t)
	manual := newPool("b-manual", "192.0.2.16/29", "2001:db8:16::/125")
	manual.Spec.AutoAssign = new(bool)
	create(t, newPool("a", "192.0.2.0/29", "2001:db8::/125"), manual)
	start(t)
	both := families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol)
	for _, tc := range []struct {
		name string
		set  []func(*corev1.Service)
		want []string
	}{
		{"pool", []func(*corev1.Service){asks("belfry.dev/pool", "b-manual")}, []string{"192.0.2.16"}},
		{"pool-metallb", []func(*corev1.Service){asks("metallb.io/address-pool", "b-manual")}, []string{"192.0.2.17"}},
		{"pool-metallb-old", []func(*corev1.Service){asks("metallb.universe.tf/address-pool", "b-manual")}, []string{"192.0.2.18"}},
		{"ip", []func(*corev1.Service){asks("belfry.dev/ips", "192.0.2.5")}, []string{"192.0.2.5"}},
		{"ips", []func(*corev1.Service){both, asks("belfry.dev/ips", "2001:db8:16::7,192.0.2.23")}, []string{"192.0.2.23", "2001:db8:16::7"}},
		{"several", []func(*corev1.Service){asks("metallb.io/loadBalancerIPs", "192.0.2.6,192.0.2.7")}, []string{"192.0.2.6", "192.0.2.7"}},
		{"field", []func(*corev1.Service){func(s *corev1.Service) { s.Spec.LoadBalancerIP = "192.0.2.4" }}, []string{"192.0.2.4"}},
		{"no-selector", []func(*corev1.Service){func(s *corev1.Service) { s.Spec.Selector = nil }}, []string{"192.0.2.0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(tc.name, tc.set...)
			create(t, s)
			hasAddresses(t, s, tc.want...)
			hasReason(t, s, metav1.ConditionTrue, "Allocated")
		})
	}
}

// TestRefusedWishes: what cannot be met says exactly why.
func TestRefusedWishes(t *testing.T) {
	clean(t)
	newNamespace(t, "refused-elsewhere", nil)
	off, theirs := newPool("off", "192.0.2.48/29"), newPool("theirs", "192.0.2.56/29")
	off.Spec.Disabled = true
	theirs.Spec.AllocateTo = &v1beta1.ServiceAllocation{Namespaces: []string{"refused-elsewhere"}}
	a := newPool("a", "192.0.2.32/29")
	a.Spec.Exclude = []v1beta1.AddressRange{"192.0.2.33"}
	create(t, a, off, theirs)
	start(t)
	holder := newService("holder", asks("belfry.dev/ips", "192.0.2.34"))
	create(t, holder)
	hasAddresses(t, holder, "192.0.2.34")
	for _, tc := range []struct {
		name, annotation, value string
		reason, words           string
	}{
		{"no-such-pool", "belfry.dev/pool", "nowhere", "NoPool", "there is no pool nowhere"},
		{"disabled", "belfry.dev/pool", "off", "PoolDisabled", "pool off is disabled"},
		{"not-allowed", "belfry.dev/pool", "theirs", "NotAllowed", "pool theirs is not for Services of namespace default"},
		{"taken", "belfry.dev/ips", "192.0.2.34", "AddressTaken", "192.0.2.34 belongs to default/holder"},
		{"excluded", "belfry.dev/ips", "192.0.2.33", "Excluded", "pool a excludes it"},
		{"outside", "belfry.dev/ips", "198.51.100.1", "NotInPool", "198.51.100.1 is in no pool"},
		{"family", "belfry.dev/ips", "2001:db8::1", "WrongFamily", "the Service has no IPv6"},
		{"nonsense", "metallb.io/loadBalancerIPs", "x", "BadWish", `annotation metallb.io/loadBalancerIPs: "x" is no address`},
		{"no-reservation", "belfry.dev/reservation", "r", "NoReservation", "there is no IPReservation r in namespace default"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(tc.name, asks(tc.annotation, tc.value))
			create(t, s)
			says(t, s, tc.reason, tc.words)
			hasEvent(t, s, "AssignmentFailed", tc.words)
		})
	}
	disagrees := newService("disagrees", asks("belfry.dev/ips", "192.0.2.36"), func(s *corev1.Service) { s.Spec.LoadBalancerIP = "192.0.2.37" })
	create(t, disagrees)
	says(t, disagrees, "BadWish", "spec.loadBalancerIP asks for 192.0.2.37, but annotation belfry.dev/ips for 192.0.2.36")

	// Each is met at once when the obstacle goes.
	must(t, shared.client.Delete(t.Context(), holder))
	hasAddresses(t, newService("taken"), "192.0.2.34")
	edit(t, off, func(p *v1beta1.IPAddressPool) { p.Spec.Disabled = false })
	hasAddresses(t, newService("disabled"), "192.0.2.48")
	edit(t, theirs, func(p *v1beta1.IPAddressPool) { p.Spec.AllocateTo = nil })
	hasAddresses(t, newService("not-allowed"), "192.0.2.56")
	edit(t, a, func(p *v1beta1.IPAddressPool) { p.Spec.Exclude = nil })
	hasAddresses(t, newService("excluded"), "192.0.2.33")
	create(t, newPool("nowhere", "192.0.2.64/29"))
	hasAddresses(t, newService("no-such-pool"), "192.0.2.64")
}

// TestChangedWish: the old address goes when the new one is secured, in one write, and stays if that cannot be.
func TestChangedWish(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.72/29"), newPool("b", "192.0.2.80/31"))
	c := start(t)
	taken, s := newService("takes", asks("belfry.dev/ips", "192.0.2.77")), newService("changes")
	create(t, taken)
	hasAddresses(t, taken, "192.0.2.77")
	create(t, s)
	hasAddresses(t, s, "192.0.2.72")
	edit(t, s, asks("belfry.dev/ips", "192.0.2.77"))
	says(t, s, "AddressTaken", "192.0.2.77 belongs to default/takes")
	hasAddresses(t, s, "192.0.2.72")

	before := c.net.written()["PATCH services/status"]
	edit(t, s, asks("belfry.dev/ips", "192.0.2.79"))
	hasAddresses(t, s, "192.0.2.79")
	hasReason(t, s, metav1.ConditionTrue, "Allocated")
	hasEvent(t, s, "AddressReleased", "192.0.2.72")
	hasEvent(t, s, "AddressAssigned", "192.0.2.79")
	if got := c.net.written()["PATCH services/status"] - before; got != 1 {
		t.Errorf("%d writes for one move", got)
	}
	edit(t, s, func(s *corev1.Service) {
		delete(s.Annotations, "belfry.dev/ips")
		s.Annotations["belfry.dev/pool"] = "b"
	})
	hasAddresses(t, s, "192.0.2.80")
	edit(t, s, asks("belfry.dev/pool", "nowhere"))
	says(t, s, "NoPool", "there is no pool nowhere")
	hasAddresses(t, s, "192.0.2.80")
	edit(t, s, asks("belfry.dev/ips", "x"))
	says(t, s, "BadWish", "is no address")
	hasAddresses(t, s, "192.0.2.80")
}

func TestReallocate(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.88/31"))
	c := start(t)
	s := newService("moves")
	create(t, s)
	hasAddresses(t, s, "192.0.2.88")
	before := c.net.written()["PATCH services/status"]
	edit(t, s, asks("belfry.dev/reallocate", "1"))
	hasAddresses(t, s, "192.0.2.89")
	if got := s.Annotations["belfry.dev/reallocated"]; got != "1" {
		t.Errorf("belfry.dev/reallocated = %q, want 1", got)
	}
	if got := c.net.written()["PATCH services/status"] - before; got != 1 {
		t.Errorf("%d writes for one move", got)
	}
	other := newService("fills")
	create(t, other)
	hasAddresses(t, other, "192.0.2.88")
	edit(t, s, asks("belfry.dev/reallocate", "2"))
	eventually(t, "that it cannot move", func() error {
		get(t, s)
		if c := allocated(s); c.Reason != "NotMoved" {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	hasAddresses(t, s, "192.0.2.89")
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	start(t)
	must(t, shared.client.Delete(t.Context(), other))
	hasAddresses(t, s, "192.0.2.88")
	hasReason(t, s, metav1.ConditionTrue, "Allocated")
}

func TestSharing(t *testing.T) {
	clean(t)
	newNamespace(t, "sharing-other", nil)
	pool := newPool("a", "192.0.2.96/29")
	create(t, pool)
	start(t)
	key := func(k string) func(*corev1.Service) { return asks("belfry.dev/sharing-key", k) }
	tcp := newService("tcp", key("k"), port("TCP", 53))
	udp := newService("udp", asks("metallb.io/allow-shared-ip", "k"), port("UDP", 53))
	abroad := newService("abroad", key("k"), port("TCP", 80), in("sharing-other"))
	clash := newService("clash", key("k"), port("TCP", 53))
	create(t, tcp)
	hasAddresses(t, tcp, "192.0.2.96")
	create(t, udp)
	hasAddresses(t, udp, "192.0.2.96")
	create(t, abroad)
	hasAddresses(t, abroad, "192.0.2.96")
	create(t, clash)
	hasAddresses(t, clash, "192.0.2.97")
	eventually(t, "a shared address counts once", func() error {
		if get(t, pool); pool.Status.AssignedIPv4 != 2 {
			return fmt.Errorf("%+v", pool.Status)
		}
		return nil
	})

	local := newService("local", key("k"), port("TCP", 99), asks("belfry.dev/ips", "192.0.2.96"), func(s *corev1.Service) {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	})
	create(t, local)
	says(t, local, "SharingConflict", "one has externalTrafficPolicy Local, the other Cluster")
	edit(t, local, func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster })
	hasAddresses(t, local, "192.0.2.96")

	// An edit that makes two clash moves the younger claim, and ends it if it asked for this very address.
	edit(t, udp, port("TCP", 80))
	eventually(t, "two that clash part", func() error {
		get(t, udp)
		get(t, abroad)
		if a, b := ips(udp), ips(abroad); len(a) != 1 || len(b) != 1 || a[0] == b[0] {
			return fmt.Errorf("%v and %v", a, b)
		}
		return nil
	})
	edit(t, local, port("TCP", 53))
	says(t, local, "SharingConflict", "default/tcp")
	hasAddresses(t, local)
	hasAddresses(t, tcp, "192.0.2.96")
}

func TestSharingRulesOfAPool(t *testing.T) {
	clean(t)
	newNamespace(t, "sharing-abroad", nil)
	same, none := newPool("same", "192.0.2.104/30"), newPool("none", "192.0.2.108/30")
	same.Spec.Sharing, none.Spec.Sharing = v1beta1.SharingSameNamespace, v1beta1.SharingNone
	create(t, same, none)
	start(t)
	for i, tc := range []struct {
		pool, namespace string
		want            string
	}{
		{"same", "default", "192.0.2.104"},
		{"same", "default", "192.0.2.104"},
		{"same", "sharing-abroad", "192.0.2.105"},
		{"none", "default", "192.0.2.108"},
		{"none", "default", "192.0.2.109"},
	} {
		s := newService(fmt.Sprintf("rule-%d", i), in(tc.namespace), port("TCP", int32(80+i)), asks("belfry.dev/sharing-key", "k-"+tc.pool, "belfry.dev/pool", tc.pool))
		create(t, s)
		hasAddresses(t, s, tc.want)
	}
}

// TestJoinWhenNobodyFreedAnything: a Service that waits in an exhausted pool joins another as soon as it may.
func TestJoinWhenNobodyFreedAnything(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.112"))
	start(t)
	first := newService("first-of-key", port("TCP", 80))
	create(t, first)
	hasAddresses(t, first, "192.0.2.112")
	second := newService("second-of-key", port("TCP", 81), asks("belfry.dev/sharing-key", "k"))
	create(t, second)
	says(t, second, "PoolExhausted", "pool a")
	edit(t, first, asks("belfry.dev/sharing-key", "k"))
	hasAddresses(t, second, "192.0.2.112")
	// The last user of an address may change its key.
	must(t, shared.client.Delete(t.Context(), second))
	edit(t, first, asks("belfry.dev/sharing-key", "other"))
	hasAddresses(t, first, "192.0.2.112")
	hasReason(t, first, metav1.ConditionTrue, "Allocated")
}
