package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func newReservation(name string, spec v1beta1.IPReservationSpec) *v1beta1.IPReservation {
	return &v1beta1.IPReservation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: spec}
}

// reserves waits until the reservation has these addresses, for this Service ("": nobody uses them).
func reserves(t *testing.T, r *v1beta1.IPReservation, holder string, want ...string) {
	t.Helper()
	eventually(t, "reservation "+r.Name, func() error {
		get(t, r)
		if got := strings.Join(r.Status.Addresses, " "); got != strings.Join(want, " ") || r.Status.Holder != holder {
			return fmt.Errorf("got %s for %q, want %v for %q; %+v", got, r.Status.Holder, want, holder, r.Status.Conditions)
		}
		return nil
	})
}

// refused waits until the reservation says why it has no address.
func refused(t *testing.T, r *v1beta1.IPReservation, reason, words string) {
	t.Helper()
	eventually(t, "reservation "+r.Name, func() error {
		get(t, r)
		for _, kind := range []string{v1beta1.ConditionReserved, v1beta1.ConditionReady} {
			c := meta.FindStatusCondition(r.Status.Conditions, kind)
			if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason || !strings.Contains(c.Message, words) {
				return fmt.Errorf("got %+v, want %s with %q", c, reason, words)
			}
		}
		return nil
	})
}

func TestReservation(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.0/29", "2001:db8::/125"))
	c := start(t)
	r := newReservation("keep", v1beta1.IPReservationSpec{Families: []v1beta1.IPFamily{"IPv6", "IPv4"}})
	create(t, r)
	reserves(t, r, "", "2001:db8::", "192.0.2.0")
	hasEvent(t, r, "AddressAssigned", "2001:db8::, 192.0.2.0 from pool a")

	// Others have what is left, and cannot steal it.
	other, thief := newService("honest"), newService("thief", asks("belfry.dev/ips", "192.0.2.0"))
	create(t, other)
	hasAddresses(t, other, "192.0.2.1")
	create(t, thief)
	says(t, thief, "AddressTaken", "192.0.2.0 belongs to IPReservation default/keep")

	// A Service takes it by name, and again after it was deleted and made anew under another name.
	for _, name := range []string{"web-blue", "web-green"} {
		s := newService(name, asks("belfry.dev/reservation", "keep"))
		create(t, s)
		hasAddresses(t, s, "192.0.2.0")
		reserves(t, r, name, "2001:db8::", "192.0.2.0")
		must(t, shared.client.Delete(t.Context(), s))
		reserves(t, r, "", "2001:db8::", "192.0.2.0")
	}
	both := newService("both", asks("belfry.dev/reservation", "keep"),
		families(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol))
	create(t, both)
	hasAddresses(t, both, "192.0.2.0", "2001:db8::")
	reserves(t, r, "both", "2001:db8::", "192.0.2.0")

	// A restart changes nothing.
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	version, service := get(t, r).ResourceVersion, get(t, both).ResourceVersion
	c = start(t, often)
	c.fullPasses(11)
	if get(t, r); r.ResourceVersion != version || get(t, both).ResourceVersion != service {
		t.Errorf("written after a restart: %v", c.net.written())
	}

	// Without the reservation it is an ordinary assignment.
	must(t, shared.client.Delete(t.Context(), r))
	hasReason(t, both, metav1.ConditionTrue, "Allocated")
	hasAddresses(t, both, "192.0.2.0", "2001:db8::")
	must(t, shared.client.Delete(t.Context(), both))
	hasAddresses(t, thief, "192.0.2.0")
}

// TestReservationForAService: the Service of this name takes it without asking, also the address that it had before.
func TestReservationForAService(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.16/29"))
	start(t)
	first, s := newService("takes-the-first"), newService("named")
	create(t, first)
	hasAddresses(t, first, "192.0.2.16")
	create(t, s)
	hasAddresses(t, s, "192.0.2.17")
	r := newReservation("for-named", v1beta1.IPReservationSpec{ServiceName: "named"})
	create(t, r)
	reserves(t, r, "named", "192.0.2.17")
	must(t, shared.client.Delete(t.Context(), s))
	reserves(t, r, "", "192.0.2.17")
	must(t, shared.client.Delete(t.Context(), first))
	other := newService("not-named")
	create(t, other)
	hasAddresses(t, other, "192.0.2.16")
	again := newService("named")
	create(t, again)
	hasAddresses(t, again, "192.0.2.17")
	reserves(t, r, "named", "192.0.2.17")
}

func TestReservationRules(t *testing.T) {
	clean(t)
	manual, small, theirs := newPool("manual", "192.0.2.32/30"), newPool("small", "192.0.2.36/30"), newPool("theirs", "192.0.2.40/30")
	manual.Spec.AutoAssign, small.Spec.MaxPerNamespace = new(bool), 1
	theirs.Spec.AllocateTo = &v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"tier": "web"}}}}
	create(t, manual, small, theirs)
	start(t)
	s := newService("occupies", asks("belfry.dev/ips", "192.0.2.33"))
	create(t, s)
	hasAddresses(t, s, "192.0.2.33")

	taken := newReservation("taken", v1beta1.IPReservationSpec{Addresses: []v1beta1.Address{"192.0.2.33"}})
	forbidden := newReservation("forbidden", v1beta1.IPReservationSpec{Pool: "theirs"})
	selected := newReservation("selected", v1beta1.IPReservationSpec{Pool: "theirs"})
	selected.Labels = map[string]string{"tier": "web"}
	one, two := newReservation("one", v1beta1.IPReservationSpec{Pool: "small"}), newReservation("two", v1beta1.IPReservationSpec{Pool: "small"})
	create(t, taken, forbidden, selected)
	create(t, one)
	reserves(t, one, "", "192.0.2.36")
	create(t, two)
	refused(t, taken, "AddressTaken", "192.0.2.33 belongs to default/occupies")
	refused(t, forbidden, "NotAllowed", "pool theirs")
	refused(t, two, "QuotaReached", "namespace default")
	reserves(t, selected, "", "192.0.2.40")
	hasEvent(t, taken, "AssignmentFailed", "belongs to default/occupies")
	waits := newService("waits-for-it", asks("belfry.dev/reservation", "taken"))
	create(t, waits)
	says(t, waits, "NoReservation", "IPReservation default/taken has no IPv4 address")

	must(t, shared.client.Delete(t.Context(), s))
	reserves(t, taken, "waits-for-it", "192.0.2.33")
	hasAddresses(t, waits, "192.0.2.33")
	must(t, shared.client.Delete(t.Context(), one))
	reserves(t, two, "", "192.0.2.36")
}

// TestReservationIsWrittenFirst: a Service is not told of a reserved address before the reservation says it has it.
func TestReservationIsWrittenFirst(t *testing.T) {
	clean(t)
	create(t, newPool("a", "192.0.2.48/29"))
	leader := start(t)
	warm := newService("warm-up")
	create(t, warm)
	hasAddresses(t, warm, "192.0.2.48")
	refuse := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/ipreservations/")
	}
	leader.net.refuse.Store(&refuse)
	r, s := newReservation("later", v1beta1.IPReservationSpec{}), newService("asks-early", asks("belfry.dev/reservation", "later"))
	create(t, r, s)
	eventually(t, "that it was tried", func() error {
		if leader.metric("belfry_api_writes_total", "kind=IPReservation", "result=error") == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	next := newService("after-it")
	create(t, next)
	hasAddresses(t, next, "192.0.2.50")
	hasAddresses(t, s)
	leader.kill()
	start(t)
	eventually(t, "the Service and the reservation agree", func() error {
		get(t, r)
		if get(t, s); len(ips(s)) != 1 || strings.Join(ips(s), "") != strings.Join(r.Status.Addresses, "") {
			return fmt.Errorf("%v and %v", ips(s), r.Status.Addresses)
		}
		return nil
	})
}
