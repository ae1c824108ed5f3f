package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func keyOf(o client.Object) types.NamespacedName { return client.ObjectKeyFromObject(o) }

// holds writes a status as if a controller had given the address; since is when, zero: nobody knows.
func holds(t *testing.T, s *corev1.Service, addr, pool string, since time.Time) {
	t.Helper()
	if pool != "" {
		edit(t, s, func(s *corev1.Service) { s.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: pool} })
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: addr}}
	if !since.IsZero() {
		meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue,
			Reason: "Allocated", LastTransitionTime: metav1.NewTime(since)})
	}
	must(t, shared.client.Status().Update(t.Context(), s))
}

func TestAddressOfAnotherControllerIsAdopted(t *testing.T) {
	clean(t)
	inside, outside := newService("adopted"), newService("elsewhere")
	create(t, inside, outside)
	holds(t, inside, "192.0.2.105", "", time.Time{})
	holds(t, outside, "198.51.100.7", "", time.Time{})
	create(t, newPool("a", "192.0.2.104/29"))
	start(t)
	hasReason(t, inside, metav1.ConditionTrue, "Allocated")
	hasAddresses(t, inside, "192.0.2.105")
	if got := inside.Annotations[v1beta1.AnnotationAllocatedFrom]; got != "a" {
		t.Errorf("%s = %q, want a", v1beta1.AnnotationAllocatedFrom, got)
	}
	hasAddresses(t, outside, "192.0.2.104")
}

func TestPoolThatComesLaterAdopts(t *testing.T) {
	clean(t)
	start(t)
	s := newService("adopted-later")
	create(t, s)
	hasReason(t, s, metav1.ConditionFalse, "NoPool")
	edit(t, s, func(*corev1.Service) {})
	eventually(t, "another controller's address", func() error {
		get(t, s)
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.113"}}
		return shared.client.Status().Update(t.Context(), s)
	})
	hasReason(t, s, metav1.ConditionFalse, "NoPool")
	hasAddresses(t, s, "192.0.2.113")
	create(t, newPool("a", "192.0.2.112/29"))
	hasReason(t, s, metav1.ConditionTrue, "Allocated")
	hasAddresses(t, s, "192.0.2.113")
}

// TestTwoHoldersAreRepaired is the second half of invariant 1: the elder claim keeps the address, the other moves at once.
func TestTwoHoldersAreRepaired(t *testing.T) {
	clean(t)
	now := time.Now()
	elder, younger := newService("a-younger-by-name"), newService("z-elder-by-name")
	elder, younger = younger, elder
	create(t, younger, elder)
	holds(t, younger, "192.0.2.121", "a", now.Add(-time.Minute))
	holds(t, elder, "192.0.2.121", "a", now.Add(-time.Hour))
	create(t, newPool("a", "192.0.2.120/29"))
	c := start(t)
	hasAddresses(t, younger, "192.0.2.120")
	hasAddresses(t, elder, "192.0.2.121")
	hasEvent(t, younger, "AddressReleased", "released 192.0.2.121; 192.0.2.121 belongs to default/z-elder-by-name, which had it first")
	hasEvent(t, younger, "AddressAssigned", "192.0.2.120")
	hasEvent(t, elder, "AddressKept", "keeps 192.0.2.121, which default/a-younger-by-name had too")

	// The same while the controller runs: somebody writes over a status.
	eventually(t, "a hostile write", func() error {
		get(t, younger)
		younger.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.121"}}
		return shared.client.Status().Update(t.Context(), younger)
	})
	eventually(t, "repair", func() error {
		get(t, younger)
		get(t, elder)
		if a, b := ips(younger), ips(elder); len(a) != 1 || len(b) != 1 || a[0] == b[0] {
			return fmt.Errorf("%v and %v", a, b)
		}
		return nil
	})
	hasAddresses(t, elder, "192.0.2.121")
	c.fullPasses(0)
}

// TestWritersInTheWay has somebody else write the Services all the time: each conflict is tried again.
func TestWritersInTheWay(t *testing.T) {
	const n = 40
	clean(t)
	create(t, newPool("a", "10.30.0.0/24"))
	c := start(t)
	var refused int
	refuse := func(r *http.Request) bool { // the first of every three patches does not arrive
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/services/") {
			return false
		}
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		refused++
		return refused%3 == 1
	}
	c.net.refuse.Store(&refuse)
	for i := range n {
		s := newService(fmt.Sprintf("contended-%02d", i))
		create(t, s)
		edit(t, s, func(s *corev1.Service) { s.Labels = map[string]string{"touched": "1"} })
	}
	allUnique(t, n)
	for _, s := range services(t) {
		if s.Name != "kubernetes" && s.Labels["touched"] != "1" {
			t.Errorf("the label of %s was overwritten", s.Name)
		}
	}
}

// TestLostAnswers has the API server act while its answer is lost.
func TestLostAnswers(t *testing.T) {
	const n = 40
	clean(t)
	create(t, newPool("a", "10.31.0.0/24"))
	c := start(t)
	seen := map[string]bool{}
	lose := func(r *http.Request) bool { // the answer to the first patch of each Service
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/services/") {
			return false
		}
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		first := !seen[r.URL.Path]
		seen[r.URL.Path] = true
		return first
	}
	c.net.loseAnswer.Store(&lose)
	for i := range n {
		create(t, newService(fmt.Sprintf("unheard-%02d", i)))
	}
	allUnique(t, n)
}

// allUnique waits until n Services have one address each, and no two the same.
func allUnique(t *testing.T, n int) {
	t.Helper()
	eventually(t, "addresses for all", func() error {
		holder := map[string]string{}
		for _, s := range services(t) {
			for _, ip := range ips(&s) {
				if other := holder[ip]; other != "" {
					t.Fatalf("%s and %s both have %s", other, s.Name, ip)
				}
				holder[ip] = s.Name
			}
		}
		if len(holder) != n {
			return fmt.Errorf("%d of %d have one", len(holder), n)
		}
		return nil
	})
}
