package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// often makes full passes follow each other quickly.
func often(o *controllers.Options) { o.FullPassEvery = 50 * time.Millisecond }

func TestHolderKeepsItsAddress(t *testing.T) {
	clean(t)
	pool := newPool("shrinking", "192.0.2.80/29")
	create(t, pool)
	start(t)
	first, s := newService("first"), newService("keeper")
	create(t, first)
	hasAddresses(t, first, "192.0.2.80")
	create(t, s)
	hasAddresses(t, s, "192.0.2.81")

	edit(t, pool, func(p *v1beta1.IPAddressPool) { p.Spec.Addresses = []v1beta1.AddressRange{"192.0.2.80"} })
	hasReason(t, s, metav1.ConditionTrue, "PoolGone")
	hasAddresses(t, s, "192.0.2.81")
	if c := ready(t, pool, metav1.ConditionTrue, "Valid"); !strings.Contains(c.Message, "outside of its ranges: 1") {
		t.Errorf("the pool does not tell of the holder outside of it: %q", c.Message)
	}
	must(t, shared.client.Delete(t.Context(), pool))
	hasReason(t, first, metav1.ConditionTrue, "PoolGone")
	hasAddresses(t, first, "192.0.2.80")
	hasAddresses(t, s, "192.0.2.81")

	create(t, newPool("adopter", "192.0.2.80/29"))
	for _, o := range []*corev1.Service{first, s} {
		hasReason(t, o, metav1.ConditionTrue, "Allocated")
		if got := o.Annotations[v1beta1.AnnotationAllocatedFrom]; got != "adopter" {
			t.Errorf("%s: %s = %q, want adopter", o.Name, v1beta1.AnnotationAllocatedFrom, got)
		}
	}
	hasAddresses(t, first, "192.0.2.80")
	hasAddresses(t, s, "192.0.2.81")
}

// TestNothingChangedNothingWritten is invariant 8: 500 Services, a restart and ten full passes make no write.
func TestNothingChangedNothingWritten(t *testing.T) {
	const n = 500
	clean(t)
	pool := newPool("wide", "10.20.0.0/16", "2001:db8:20::/64")
	create(t, pool)
	c := start(t)
	for i := range n {
		policy := corev1.IPFamilyPolicySingleStack
		if i%5 == 0 {
			policy = corev1.IPFamilyPolicyPreferDualStack
		}
		create(t, newService(fmt.Sprintf("many-%03d", i), families(policy, corev1.IPv4Protocol)))
	}
	before := map[string]string{}
	eventually(t, "all have addresses", func() error {
		if get(t, pool); pool.Status.AssignedIPv4 != n || pool.Status.AssignedIPv6 != n/5 {
			return fmt.Errorf("%+v", pool.Status)
		}
		return nil
	})
	for _, s := range services(t) {
		before[s.Name] = s.ResourceVersion + " " + strings.Join(ips(&s), " ")
	}
	if got := c.net.written()["PATCH services/status"]; got != n {
		t.Errorf("%d patches for %d assignments", got, n)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	poolVersion := get(t, pool).ResourceVersion

	c = start(t, often)
	c.fullPasses(11)
	if got := c.net.written(); len(got) > 1 || got["POST secrets"] > 1 {
		t.Errorf("a restart and ten full passes wrote %v", got)
	}
	for _, s := range services(t) {
		if got := s.ResourceVersion + " " + strings.Join(ips(&s), " "); got != before[s.Name] {
			t.Errorf("%s was %s, is %s", s.Name, before[s.Name], got)
		}
	}
	if get(t, pool); pool.ResourceVersion != poolVersion {
		t.Error("the pool was written")
	}
}

func services(t testing.TB) []corev1.Service {
	t.Helper()
	var list corev1.ServiceList
	must(t, shared.client.List(t.Context(), &list))
	return list.Items
}

func TestTypeChangeFreesTheAddress(t *testing.T) {
	clean(t)
	pool := newPool("single", "192.0.2.90")
	create(t, pool)
	start(t)
	s, next := newService("was-lb"), newService("next-in-line")
	create(t, s)
	hasAddresses(t, s, "192.0.2.90")
	create(t, next)
	hasReason(t, next, metav1.ConditionFalse, "PoolExhausted")

	edit(t, s, func(s *corev1.Service) {
		s.Spec.Type, s.Spec.AllocateLoadBalancerNodePorts = corev1.ServiceTypeClusterIP, nil
	})
	eventually(t, "nothing of ours on a ClusterIP Service", func() error {
		get(t, s)
		if len(ips(s)) > 0 || s.Annotations[v1beta1.AnnotationAllocatedFrom] != "" || allocated(s).Type != "" {
			return fmt.Errorf("%v %v %+v", ips(s), s.Annotations, s.Status)
		}
		return nil
	})
	hasAddresses(t, next, "192.0.2.90")

	edit(t, s, func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer })
	hasReason(t, s, metav1.ConditionFalse, "PoolExhausted")
	edit(t, pool, func(p *v1beta1.IPAddressPool) { p.Spec.Addresses = []v1beta1.AddressRange{"192.0.2.90/31"} })
	hasAddresses(t, s, "192.0.2.91")
}

func TestDeletionFreesTheAddress(t *testing.T) {
	clean(t)
	pool := newPool("single", "192.0.2.92")
	create(t, pool)
	start(t)
	s := newService("to-delete")
	create(t, s)
	hasAddresses(t, s, "192.0.2.92")
	waiting := []*corev1.Service{newService("waits-1"), newService("waits-2")}
	for _, w := range waiting {
		create(t, w)
		hasReason(t, w, metav1.ConditionFalse, "PoolExhausted")
	}
	must(t, shared.client.Delete(t.Context(), s))
	hasAddresses(t, waiting[0], "192.0.2.92")
	must(t, shared.client.Delete(t.Context(), waiting[0]))
	hasAddresses(t, waiting[1], "192.0.2.92")
	must(t, shared.client.Delete(t.Context(), waiting[1]))
	eventually(t, "the pool is empty", func() error {
		if get(t, pool); pool.Status.AssignedIPv4 != 0 || pool.Status.AvailableIPv4 != 1 {
			return fmt.Errorf("%+v", pool.Status)
		}
		return nil
	})
}

func TestDeletedAndCreatedAgain(t *testing.T) {
	clean(t)
	create(t, newPool("pair", "192.0.2.94/31"))
	start(t)
	for range 10 {
		s := newService("again")
		create(t, s)
		eventually(t, "an address", func() error {
			if get(t, s); len(ips(s)) != 1 {
				return fmt.Errorf("%+v", s.Status)
			}
			return nil
		})
		must(t, shared.client.Delete(t.Context(), s))
	}
}

func TestAddressHeldWhileAFinalizerDelaysDeletion(t *testing.T) {
	clean(t)
	create(t, newPool("single", "192.0.2.96"))
	start(t)
	s, next := newService("lingers", func(s *corev1.Service) { s.Finalizers = []string{"other.dev/hold"} }), newService("waits-longer")
	create(t, s)
	hasAddresses(t, s, "192.0.2.96")
	must(t, shared.client.Delete(t.Context(), s))
	create(t, next)
	hasReason(t, next, metav1.ConditionFalse, "PoolExhausted")
	hasAddresses(t, s, "192.0.2.96")
	edit(t, s, func(s *corev1.Service) { s.Finalizers = nil })
	hasAddresses(t, next, "192.0.2.96")
	eventually(t, "the Service is gone", func() error {
		err := shared.client.Get(t.Context(), keyOf(s), s)
		if err == nil {
			return errors.New("it is there")
		}
		return client.IgnoreNotFound(err)
	})
}

func TestSecondFamilyComesAndGoes(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.98/31", "2001:db8:98::/127"))
	start(t)
	s := newService("grows", families(corev1.IPFamilyPolicySingleStack, corev1.IPv4Protocol))
	create(t, s)
	hasAddresses(t, s, "192.0.2.98")
	edit(t, s, func(s *corev1.Service) {
		families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol)(s)
	})
	hasAddresses(t, s, "192.0.2.98", "2001:db8:98::")
	edit(t, s, func(s *corev1.Service) {
		families(corev1.IPFamilyPolicySingleStack, corev1.IPv4Protocol)(s)
		s.Spec.ClusterIPs = s.Spec.ClusterIPs[:1]
	})
	hasAddresses(t, s, "192.0.2.98")
	hasEvent(t, s, "AddressReleased", "2001:db8:98::")
}

// TestSecondFamilyWhenItBecomesPossible: PreferDualStack takes what there is, and the other family when it comes. A pool
// that is disabled meanwhile takes nothing away.
func TestSecondFamilyWhenItBecomesPossible(t *testing.T) {
	clean(t)
	four := newPool("four", "192.0.2.100/31")
	create(t, four)
	start(t)
	s := newService("prefers", families(corev1.IPFamilyPolicyPreferDualStack, corev1.IPv6Protocol, corev1.IPv4Protocol))
	requires := newService("requires", families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol))
	create(t, s, requires)
	hasAddresses(t, s, "192.0.2.100")
	hasReason(t, s, metav1.ConditionTrue, "OneFamily")
	says(t, requires, "NoFamily", "RequireDualStack takes both families or none")
	edit(t, four, func(p *v1beta1.IPAddressPool) { p.Spec.Disabled = true })
	create(t, newPool("six", "2001:db8:100::/127"))
	hasAddresses(t, s, "2001:db8:100::", "192.0.2.100")
	hasReason(t, s, metav1.ConditionTrue, "Allocated")
	hasAddresses(t, requires)
	edit(t, four, func(p *v1beta1.IPAddressPool) { p.Spec.Disabled = false })
	hasAddresses(t, requires, "192.0.2.101", "2001:db8:100::1")
}
