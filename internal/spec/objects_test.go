package spec

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pool(name string, created int, addresses ...v1beta1.AddressRange) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(epoch.Add(time.Duration(created) * time.Second))},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: addresses},
	}
}

// TestParsePools: what is wrong is left out, with a problem of its own, and the others are not touched.
func TestParsePools(t *testing.T) {
	manual := pool("manual", 0, "198.51.100.0/24")
	manual.Spec.AutoAssign = new(bool)
	for _, c := range []struct {
		name     string
		pools    []v1beta1.IPAddressPool
		want     []string // name, ranges, autoAssign
		problems []string // name, reason, words of the message
	}{
		{name: "none"},
		{
			name:  "sorted by name, ranges joined",
			pools: []v1beta1.IPAddressPool{pool("b", 0, "2001:db8::/64", "192.0.2.128/25", "192.0.2.0/25"), manual, pool("a", 1, "203.0.113.7")},
			want: []string{
				"a [203.0.113.7] true",
				"b [192.0.2.0-192.0.2.255 2001:db8::-2001:db8::ffff:ffff:ffff:ffff] true",
				"manual [198.51.100.0-198.51.100.255] false",
			},
		},
		{
			name:     "a bad entry hurts its own pool only",
			pools:    []v1beta1.IPAddressPool{pool("a", 0, "192.0.2.0/24"), pool("b", 0, "198.51.100.0/24", "10.0.0.1/8")},
			want:     []string{"a [192.0.2.0-192.0.2.255] true"},
			problems: []string{"b BadRange spec.addresses[1]"},
		},
		{
			name:     "of two that overlap the older one is used",
			pools:    []v1beta1.IPAddressPool{pool("a", 5, "192.0.2.0/24"), pool("b", 4, "192.0.2.255-192.0.3.0")},
			want:     []string{"b [192.0.2.255-192.0.3.0] true"},
			problems: []string{"a Overlap 192.0.2.255-192.0.3.0 of pool b"},
		},
		{
			name:     "of the same age, the first by name",
			pools:    []v1beta1.IPAddressPool{pool("b", 4, "2001:db8::/64"), pool("a", 4, "2001:db8::/120")},
			want:     []string{"a [2001:db8::-2001:db8::ff] true"},
			problems: []string{"b Overlap of pool a"},
		},
		{
			name:     "one that is not used itself is in nobody's way",
			pools:    []v1beta1.IPAddressPool{pool("a", 1, "192.0.2.0/30"), pool("b", 2, "192.0.2.2-192.0.2.9"), pool("c", 3, "192.0.2.8/30")},
			want:     []string{"a [192.0.2.0-192.0.2.3] true", "c [192.0.2.8-192.0.2.11] true"},
			problems: []string{"b Overlap of pool a"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap, problems := Parse(Objects{Pools: c.pools})
			var got []string
			for _, p := range snap.Pools {
				got = append(got, fmt.Sprintf("%s %v %v", p.Name, p.Ranges, p.AutoAssign))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			checkProblems(t, "IPAddressPool", c.problems, problems)
		})
	}
}

func checkProblems(t *testing.T, kind string, want []string, got []Problem) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("problems %v, want %v", got, want)
	}
	for i, p := range got {
		name, rest, _ := strings.Cut(want[i], " ")
		reason, words, _ := strings.Cut(rest, " ")
		if p.Kind != kind || p.Name != name || string(p.Reason) != reason || !strings.Contains(p.Message, words) {
			t.Errorf("problem %+v, want %q", p, want[i])
		}
	}
}

func TestPoolContains(t *testing.T) {
	snap, _ := Parse(Objects{Pools: []v1beta1.IPAddressPool{pool("a", 0, "192.0.2.8/30", "192.0.2.0", "2001:db8::/126")}})
	p := snap.Pools[0]
	for a, want := range map[string]bool{
		"192.0.2.0": true, "192.0.2.1": false, "192.0.2.7": false, "192.0.2.8": true, "192.0.2.11": true, "192.0.2.12": false,
		"191.0.0.0": false, "2001:db8::": true, "2001:db8::3": true, "2001:db8::4": false, "::": false, "255.255.255.255": false,
	} {
		if got := p.Contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if !p.Has(IPv4) || !p.Has(IPv6) || (Pool{Ranges: ranges(t, "::1")}).Has(IPv4) {
		t.Error("Has is wrong about the families")
	}
}

func TestParseService(t *testing.T) {
	prefer := corev1.IPFamilyPolicyPreferDualStack
	at := metav1.NewTime(epoch)
	full := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "web", UID: "u", CreationTimestamp: at, DeletionTimestamp: &at,
			Labels:      map[string]string{ProxyNameLabel: "other"},
			Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "a,b"},
		},
		Spec: corev1.ServiceSpec{
			IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, IPFamilyPolicy: &prefer,
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports:                 []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}, {Protocol: corev1.ProtocolUDP, Port: 53}},
		},
		Status: corev1.ServiceStatus{
			LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
				{IP: "2001:db8::1"}, {Hostname: "lb.example.org"}, {IP: "::ffff:192.0.2.1"}, {IP: "192.0.2.1"},
			}},
			Conditions: []metav1.Condition{{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, LastTransitionTime: at}},
		},
	}
	want := Service{
		Key: types.NamespacedName{Namespace: "ns", Name: "web"}, UID: "u", Created: epoch,
		Families: []Family{IPv6, IPv4}, Policy: PreferDualStack, Ports: []Port{{corev1.ProtocolTCP, 80}, {corev1.ProtocolUDP, 53}},
		Local: true, Held: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")},
		HeldSince: epoch, Pools: []string{"a", "b"}, ProxyName: "other", Terminated: true,
		Labels: NewLabels(labels.Set{ProxyNameLabel: "other"}),
	}
	got := ParseService(&full)
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	full.Status.Conditions[0].Status = metav1.ConditionFalse
	if got := ParseService(&full); !got.HeldSince.IsZero() {
		t.Errorf("held since %v though Allocated is False", got.HeldSince)
	}
}

func TestParseServiceFamilies(t *testing.T) {
	for _, c := range []struct {
		name string
		spec corev1.ServiceSpec
		want []Family
	}{
		{"nothing known", corev1.ServiceSpec{}, []Family{IPv4}},
		{"headless", corev1.ServiceSpec{ClusterIPs: []string{"None"}}, []Family{IPv4}},
		{"from the cluster IPs", corev1.ServiceSpec{ClusterIPs: []string{"2001:db8::1", "10.0.0.1"}}, []Family{IPv6, IPv4}},
		{"ipFamilies count before them", corev1.ServiceSpec{ClusterIPs: []string{"10.0.0.1"}, IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol}}, []Family{IPv6}},
	} {
		if d := cmp.Diff(c.want, ParseService(&corev1.Service{Spec: c.spec}).Families); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestPoolOf(t *testing.T) {
	for _, c := range []struct {
		pools []string
		want  string
	}{
		{nil, " "},
		{[]string{"a"}, "a a"},
		{[]string{"a", "b"}, "a b"},
	} {
		s := Service{Pools: c.pools}
		if got := s.PoolOf(0) + " " + s.PoolOf(1); got != c.want {
			t.Errorf("%v: %q, want %q", c.pools, got, c.want)
		}
	}
	if got := (Service{Pools: []string{"a", "b"}}).PoolOf(2); got != "" {
		t.Errorf("a third address is from pool %q", got)
	}
}

// TestPoolsOfAddresses: names in the annotation go with the entries of the status, whatever others have put there.
func TestPoolsOfAddresses(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    string
		ingress []string
		want    string
	}{
		{"never marked", "", []string{"192.0.2.1"}, "192.0.2.1@"},
		{"one name for all", "a", []string{"192.0.2.1", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@a"},
		{"a name each", "a,b", []string{"192.0.2.1", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@b"},
		{"a hostname that has a name", "a,b,c", []string{"192.0.2.1", "lb.example.com", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@c"},
		{"a hostname that somebody put in front", "a,b", []string{"lb.example.com", "192.0.2.1", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@b"},
		{"an address twice, each with a name", "a,a,b", []string{"192.0.2.1", "192.0.2.1", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@b"},
		{"an address that somebody put in twice", "a,b", []string{"192.0.2.1", "192.0.2.1", "2001:db8::1"}, "192.0.2.1@a 2001:db8::1@b"},
		{"an address that somebody added", "a,b", []string{"192.0.2.1", "2001:db8::1", "192.0.2.9"}, "192.0.2.1@a 2001:db8::1@b 192.0.2.9@"},
	} {
		o := &corev1.Service{}
		if c.from != "" {
			o.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: c.from}
		}
		for _, s := range c.ingress {
			in := corev1.LoadBalancerIngress{Hostname: s}
			if _, err := netip.ParseAddr(s); err == nil {
				in = corev1.LoadBalancerIngress{IP: s}
			}
			o.Status.LoadBalancer.Ingress = append(o.Status.LoadBalancer.Ingress, in)
		}
		s := ParseService(o)
		var got []string
		for i, a := range s.Held {
			got = append(got, a.String()+"@"+s.PoolOf(i))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

func TestUnusablePoolsAreNamed(t *testing.T) {
	s, _ := Parse(Objects{Pools: []v1beta1.IPAddressPool{pool("z", 3, "127.0.0.1"), pool("good", 1, "192.0.2.0/24"), pool("b", 2, "192.0.2.7")}})
	if d := cmp.Diff([]string{"b", "z"}, s.Unusable); d != "" {
		t.Error(d)
	}
}
