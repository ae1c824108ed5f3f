package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// TestFieldRules: mistakes within one object are refused by the API server, in words that help.
func TestFieldRules(t *testing.T) {
	clean(t)
	for i, tc := range []struct {
		kind, spec string
		want       string // in the refusal; empty: accepted
	}{
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "exclude": ["192.0.2.0/30", "192.0.2.9-192.0.2.12"], "avoidBuggyIPs": true, "disabled": true,
			"serviceAllocation": {"priority": 7, "namespaces": ["a"], "namespaceSelectors": [{"matchLabels": {"a": "b"}}], "serviceSelectors": [{}]},
			"reuseCooldown": "1h30m", "maxPerNamespace": 3, "sharing": "SameNamespace"}`, ""},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "exclude": ["192.0.2.1/30"]}`, `"192.0.2.1/30" has host bits set: write 192.0.2.0/30`},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "reuseCooldown": "3 days"}`, `"3 days" is no duration: write 30s, 10m or 24h`},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "reuseCooldown": "-1s"}`, `"-1s" is no duration`},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "reuseCooldown": "99999999999999h"}`, "reuseCooldown"},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "maxPerNamespace": -1}`, "maxPerNamespace"},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "maxPerNamespace": 99999999999}`, "maxPerNamespace"},
		{"IPAddressPool", `{"addresses": ["192.0.2.0/24"], "sharing": "Everybody"}`, "AcrossNamespaces"},
		{"IPReservation", `{}`, ""},
		{"IPReservation", `{"pool": "a", "families": ["IPv6", "IPv4"], "serviceName": "web"}`, ""},
		{"IPReservation", `{"addresses": ["192.0.2.1", "2001:db8::1"]}`, ""},
		{"IPReservation", `{"addresses": ["192.0.2.1"], "pool": "a"}`, "give pool or addresses, not both"},
		{"IPReservation", `{"addresses": ["192.0.2.1"], "families": ["IPv4"]}`, "give families or addresses, not both"},
		{"IPReservation", `{"addresses": ["192.0.2.0/24"]}`, `"192.0.2.0/24" is no address`},
		{"IPReservation", `{"addresses": ["192.0.2.1", "192.0.2.1"]}`, "Duplicate"},
		{"IPReservation", `{"families": ["IPv5"]}`, "IPv4"},
	} {
		t.Run(fmt.Sprintf("%d %s", i, tc.kind), func(t *testing.T) {
			var spec map[string]any
			must(t, json.Unmarshal([]byte(tc.spec), &spec))
			o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
			o.SetGroupVersionKind(v1beta1.GroupVersion().WithKind(tc.kind))
			o.SetNamespace("default")
			o.SetName(fmt.Sprintf("rule-%d", i))
			err := shared.client.Create(t.Context(), o)
			if tc.want == "" {
				must(t, err)
				must(t, shared.client.Delete(t.Context(), o))
				return
			}
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestLargestPool: as many ranges as are allowed, as long as they may be, are within the API server's budget for rules.
func TestLargestPool(t *testing.T) {
	clean(t)
	p := newPool("largest")
	for i := range 256 {
		p.Spec.Addresses = append(p.Spec.Addresses, v1beta1.AddressRange(fmt.Sprintf("2001:0db8:0000:0000:%04x:0000:0000:0000 - 2001:0db8:0000:0000:%04x:0000:0000:00ff", i, i)))
		p.Spec.Exclude = append(p.Spec.Exclude, v1beta1.AddressRange(fmt.Sprintf("2001:0db8:0000:0000:%04x:0000:0000:0000 - 2001:0db8:0000:0000:%04x:0000:0000:000f", i, i)))
	}
	create(t, p)
}

func TestOrderAndSelectors(t *testing.T) {
	clean(t)
	team := newNamespace(t, "rules-team", map[string]string{"team": "a"})
	newNamespace(t, "rules-named", nil)
	first, second, last := newPool("z-first", "192.0.2.0/30"), newPool("y-second", "192.0.2.4/30"), newPool("a-last", "192.0.2.8/30")
	first.Spec.AllocateTo = &v1beta1.ServiceAllocation{
		Priority: 1, Namespaces: []string{"rules-named"},
		NamespaceSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"team": "a"}}},
		ServiceSelectors:   []metav1.LabelSelector{{MatchLabels: map[string]string{"tier": "web"}}},
	}
	second.Spec.AllocateTo = &v1beta1.ServiceAllocation{Priority: 2, Namespaces: []string{"rules-named", "rules-team"}}
	create(t, first, second, last)
	start(t)
	tier := func(s *corev1.Service) { s.Labels = map[string]string{"tier": "web"} }
	for _, tc := range []struct {
		name string
		set  []func(*corev1.Service)
		want string
	}{
		{"named-and-selected", []func(*corev1.Service){in("rules-named"), tier}, "192.0.2.0"},
		{"labelled-and-selected", []func(*corev1.Service){in("rules-team"), tier}, "192.0.2.1"},
		{"named-only", []func(*corev1.Service){in("rules-named")}, "192.0.2.4"},
		{"elsewhere", []func(*corev1.Service){tier}, "192.0.2.8"},
	} {
		s := newService(tc.name, tc.set...)
		create(t, s)
		hasAddresses(t, s, tc.want)
	}
	// Labels of a namespace that change take nothing away, and give what was refused before.
	refused := newService("refused-at-first", in("default"), tier, asks("belfry.dev/pool", "z-first"))
	create(t, refused)
	says(t, refused, "NotAllowed", "pool z-first")
	edit(t, team, func(n *corev1.Namespace) { n.Labels = nil })
	hasAddresses(t, newService("labelled-and-selected", in("rules-team")), "192.0.2.1")
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	edit(t, home, func(n *corev1.Namespace) { n.Labels["team"] = "a" })
	hasAddresses(t, refused, "192.0.2.2")
	edit(t, home, func(n *corev1.Namespace) { delete(n.Labels, "team") })
	// So do labels of a Service.
	s := newService("labelled-later", in("rules-named"), asks("belfry.dev/pool", "z-first"))
	create(t, s)
	says(t, s, "NotAllowed", "pool z-first")
	edit(t, s, tier)
	hasAddresses(t, s, "192.0.2.3")
}

func TestBuggyAndExcludedAddresses(t *testing.T) {
	clean(t)
	p := newPool("a", "192.0.2.254-192.0.3.3")
	p.Spec.AvoidBuggyIPs, p.Spec.Exclude = true, []v1beta1.AddressRange{"192.0.3.1-192.0.3.2"}
	create(t, p)
	start(t)
	for i, want := range []string{"192.0.2.254", "192.0.3.3"} {
		s := newService(fmt.Sprintf("careful-%d", i))
		create(t, s)
		hasAddresses(t, s, want)
	}
	none := newService("careful-none")
	create(t, none)
	says(t, none, "PoolExhausted", "pool a")
	exhausted(t, p, metav1.ConditionTrue)
}

// exhausted waits until the pool's condition says so.
func exhausted(t *testing.T, p *v1beta1.IPAddressPool, want metav1.ConditionStatus) {
	t.Helper()
	eventually(t, "Exhausted of "+p.Name, func() error {
		get(t, p)
		c := meta.FindStatusCondition(p.Status.Conditions, v1beta1.ConditionExhausted)
		if c == nil || c.Status != want {
			return fmt.Errorf("got %+v, want %s", c, want)
		}
		return nil
	})
}

func TestQuota(t *testing.T) {
	clean(t)
	newNamespace(t, "quota-other", nil)
	p := newPool("a", "192.0.2.16/28")
	p.Spec.MaxPerNamespace = 2
	create(t, p)
	start(t)
	var list []*corev1.Service
	for i := range 2 {
		s := newService(fmt.Sprintf("counted-%d", i))
		create(t, s)
		hasAddresses(t, s, fmt.Sprintf("192.0.2.%d", 16+i))
		list = append(list, s)
	}
	third, other := newService("counted-2"), newService("counted-0", in("quota-other"))
	create(t, third)
	says(t, third, "QuotaReached", "namespace default has as many addresses of pool a as it may have, 2")
	create(t, other)
	hasAddresses(t, other, "192.0.2.18")
	// Lowering it takes nothing away; raising it serves who waits.
	edit(t, p, func(p *v1beta1.IPAddressPool) { p.Spec.MaxPerNamespace = 1 })
	ready(t, p, metav1.ConditionTrue, "Valid")
	hasAddresses(t, list[1], "192.0.2.17")
	must(t, shared.client.Delete(t.Context(), list[0]))
	says(t, third, "QuotaReached", "as it may have, 1")
	must(t, shared.client.Delete(t.Context(), list[1]))
	hasAddresses(t, third, "192.0.2.16")
}

// TestCooldown: a freed address rests, also over a restart, and is had at once when it has rested.
func TestCooldown(t *testing.T) {
	clean(t)
	p := newPool("a", "192.0.2.32/31")
	p.Spec.ReuseCooldown = &metav1.Duration{Duration: time.Hour}
	create(t, p)
	c := start(t)
	a, b := newService("rests-a"), newService("rests-b")
	create(t, a)
	hasAddresses(t, a, "192.0.2.32")
	create(t, b)
	hasAddresses(t, b, "192.0.2.33")
	must(t, shared.client.Delete(t.Context(), a))
	eventually(t, "the pool remembers", func() error {
		if get(t, p); len(p.Status.Freed) != 1 || p.Status.Freed[0].Address != "192.0.2.32" {
			return fmt.Errorf("%+v", p.Status.Freed)
		}
		return nil
	})
	waits := newService("waits-for-rest")
	create(t, waits)
	says(t, waits, "Resting", "the first may be had at")
	message := allocated(waits).Message
	exhausted(t, p, metav1.ConditionTrue)
	// It is still remembered when the controller ends right after an address was freed.
	must(t, shared.client.Delete(t.Context(), b))
	eventually(t, "that b is released", func() error {
		if got := c.metric("belfry_pool_addresses", "pool=a", "state=assigned"); got != 0 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	if get(t, p); len(p.Status.Freed) != 2 {
		t.Errorf("after an orderly end the pool remembers %+v", p.Status.Freed)
	}
	freed := p.Status.Freed
	c = start(t, often)
	c.fullPasses(2)
	says(t, waits, "Resting", "the first may be had at")
	if got := allocated(waits).Message; got != message {
		t.Errorf("it says %q, before it said %q", got, message)
	}
	if diff := cmp.Diff(freed, get(t, p).Status.Freed); diff != "" {
		t.Error(diff)
	}
	// Asked for by name it may be had all the same.
	named := newService("by-name", asks("belfry.dev/ips", "192.0.2.33"))
	create(t, named)
	hasAddresses(t, named, "192.0.2.33")
	edit(t, p, func(p *v1beta1.IPAddressPool) { p.Spec.ReuseCooldown.Duration = time.Second })
	hasAddresses(t, waits, "192.0.2.32")
	eventually(t, "nothing is remembered any more", func() error {
		if get(t, p); len(p.Status.Freed) != 0 {
			return fmt.Errorf("%+v", p.Status.Freed)
		}
		return nil
	})
}

// TestRestedAddressIsHadAtOnce: nothing happens but that time goes by.
func TestRestedAddressIsHadAtOnce(t *testing.T) {
	clean(t)
	p := newPool("a", "192.0.2.40")
	p.Spec.ReuseCooldown = &metav1.Duration{Duration: 3 * time.Second}
	create(t, p)
	start(t)
	s, next := newService("rests"), newService("next")
	create(t, s)
	hasAddresses(t, s, "192.0.2.40")
	must(t, shared.client.Delete(t.Context(), s))
	create(t, next)
	hasEvent(t, next, "AssignmentFailed", "Resting")
	hasAddresses(t, next, "192.0.2.40")
}

func TestWhatTheClusterUses(t *testing.T) {
	clean(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "used"}, Spec: corev1.NodeSpec{PodCIDR: "10.50.1.0/30", PodCIDRs: []string{"10.50.1.0/30"}}}
	create(t, node)
	t.Cleanup(func() {
		must(t, shared.client.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "used"}}))
	})
	p, services, pods, flagged := newPool("a", "10.50.0.0/31"), newPool("b", "10.96.0.0/30"), newPool("c", "10.50.1.0/29"), newPool("d", "10.50.2.0/24")
	create(t, p, services, pods, flagged)
	start(t, func(o *controllers.Options) {
		o.ServiceCIDRs, o.PodCIDRs = []string{"10.50.2.128/25"}, []string{"10.50.2.0/26"}
	})
	holder := newService("holds-first", asks("belfry.dev/ips", "10.50.0.0"))
	create(t, holder)
	hasAddresses(t, holder, "10.50.0.0")
	ready(t, p, metav1.ConditionTrue, "Valid")

	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.50.0.0"}, {Type: corev1.NodeInternalIP, Address: "10.50.0.1"}}
	must(t, shared.client.Status().Update(t.Context(), node))
	for pool, words := range map[*v1beta1.IPAddressPool]string{
		p:        "10.50.0.1 is the InternalIP of node used",
		services: "is in the Service CIDR 10.96.0.0/12",
		pods:     "10.50.1.0-10.50.1.3 is in the pod CIDR 10.50.1.0/30 of node used",
		flagged:  "10.50.2.0-10.50.2.63 is in the pod CIDR 10.50.2.0/26, 10.50.2.128-10.50.2.255 is in the Service CIDR 10.50.2.128/25",
	} {
		if c := ready(t, pool, metav1.ConditionTrue, "OverlapsCluster"); !strings.Contains(c.Message, words) {
			t.Errorf("%s: %q, want %q", pool.Name, c.Message, words)
		}
		hasEvent(t, pool, "OverlapsCluster", words)
	}
	hasAddresses(t, holder, "10.50.0.0")
	hasReason(t, holder, metav1.ConditionTrue, "Allocated")
	for _, tc := range [][2]string{{"a", ""}, {"b", ""}, {"c", "10.50.1.4"}, {"d", "10.50.2.64"}} {
		s := newService("from-"+tc[0], asks("belfry.dev/pool", tc[0]))
		create(t, s)
		if tc[1] == "" {
			says(t, s, "NoFamily", "pool "+tc[0]+" has no IPv4 addresses to hand out")
			continue
		}
		hasAddresses(t, s, tc[1])
	}
	named := newService("by-its-name", asks("belfry.dev/ips", "10.50.0.1"))
	create(t, named)
	says(t, named, "Excluded", "10.50.0.1 is never handed out: it is the InternalIP of node used")
	get(t, node)
	node.Status.Addresses = nil
	must(t, shared.client.Status().Update(t.Context(), node))
	hasAddresses(t, named, "10.50.0.1")

	// A second ServiceCIDR, added while the controller runs.
	cidr := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.50.1.0/29"}}}
	create(t, cidr)
	eventually(t, "the new ServiceCIDR counts", func() error {
		get(t, pods)
		if c := meta.FindStatusCondition(pods.Status.Conditions, v1beta1.ConditionReady); !strings.Contains(c.Message, "Service CIDR 10.50.1.0/29") {
			return fmt.Errorf("%q", c.Message)
		}
		return nil
	})
	must(t, shared.client.Delete(t.Context(), cidr))
}

// TestColumns: what `kubectl get ippool` shows, endless pools included.
func TestColumns(t *testing.T) {
	clean(t)
	small, endless := newPool("small", "192.0.2.48/30"), newPool("endless", "192.0.2.52/30", "2001:db8:48::/64")
	create(t, small, endless)
	start(t)
	for p, want := range map[*v1beta1.IPAddressPool]string{small: "0 of 4", endless: "v4 0, v6 0 of v4 4, v6 ∞"} {
		eventually(t, "the columns of "+p.Name, func() error {
			get(t, p)
			if got := p.Status.Assigned + " of " + p.Status.Available; got != want {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
	if get(t, endless); endless.Status.AvailableIPv6 != 1<<63-1 {
		t.Errorf("available: %d", endless.Status.AvailableIPv6)
	}
}

// TestUnknownCIDRs: a pool says what it could not be checked against, until that is known.
func TestUnknownCIDRs(t *testing.T) {
	clean(t)
	p := newPool("unchecked", "10.51.0.0/31")
	create(t, p)
	c := start(t)
	unchecked := func() *metav1.Condition {
		get(t, p)
		return meta.FindStatusCondition(p.Status.Conditions, v1beta1.ConditionUnchecked)
	}
	eventually(t, "the gap", func() error {
		if u := unchecked(); u == nil || u.Status != metav1.ConditionTrue || !strings.Contains(u.Message, "no Node has spec.podCIDRs") || strings.Contains(u.Message, "Service") {
			return fmt.Errorf("%+v", u)
		}
		return nil
	})
	must(t, c.stop())
	start(t, func(o *controllers.Options) { o.PodCIDRs = []string{"10.52.0.0/16"} })
	eventually(t, "no gap", func() error {
		if u := unchecked(); u != nil {
			return fmt.Errorf("%+v", u)
		}
		return nil
	})
}
