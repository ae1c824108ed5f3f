package explain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// healthy is a pool, an advertisement, two nodes and Service default/web, which n1 or n2 announces.
func healthy(edit ...func(*Facts)) Facts {
	f := Facts{
		Now:        epoch,
		Objects:    spec.Objects{Pools: []v1beta1.IPAddressPool{pool("lan", "192.0.2.10-192.0.2.11")}, L2Advertisements: []v1beta1.L2Advertisement{{ObjectMeta: named("lan")}}},
		Services:   []Service{service("web", "192.0.2.10")},
		Nodes:      []Node{node("n1"), node("n2")},
		Controller: Controller{Known: true, Available: 1, Wanted: 1},
		OursIs:     func(o *corev1.Service) bool { return o.Spec.LoadBalancerClass == nil },
	}
	for _, e := range edit {
		e(&f)
	}
	settle(&f)
	return f
}

// settle lets the speakers announce what they should, if none says that it announces anything.
func settle(f *Facts) {
	for _, n := range f.Nodes {
		if n.Status != nil && len(n.Status.Status.L2.Addresses) > 0 {
			return
		}
	}
	v := Look(*f)
	for a, owner := range v.owners {
		for _, n := range f.Nodes {
			if n.Object.Name == owner {
				n.Status.Status.L2.Addresses = append(n.Status.Status.L2.Addresses, a.String())
			}
		}
	}
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(epoch.Add(-time.Hour))}
}

func pool(name string, addresses ...v1beta1.AddressRange) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{ObjectMeta: named(name), Spec: v1beta1.IPAddressPoolSpec{Addresses: addresses}}
}

// service holds addresses of pool lan, and has a pod on n1.
func service(name string, held ...string) Service {
	o := &corev1.Service{ObjectMeta: named(name)}
	o.Namespace = "default"
	o.Spec.Type, o.Spec.IPFamilies = corev1.ServiceTypeLoadBalancer, []corev1.IPFamily{corev1.IPv4Protocol}
	for _, h := range held {
		o.Status.LoadBalancer.Ingress = append(o.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: h})
		o.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: "lan"}
	}
	return Service{Object: o, Ours: true, Endpoints: podsOn("n1")}
}

func podsOn(nodes ...string) spec.Endpoints { return spec.Endpoints{IPv4: spec.Backends{Nodes: nodes}} }

func node(name string) Node {
	o := &corev1.Node{ObjectMeta: named(name)}
	o.Labels = map[string]string{"kubernetes.io/hostname": name}
	o.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return Node{Object: o, Pod: Pod{Known: true, Name: "speaker-" + name, Ready: true}, Status: &v1beta1.SpeakerStatus{
		ObjectMeta: named(name),
		Status: v1beta1.SpeakerStatusStatus{
			Version: "v1.0.0", State: StateReady, Members: v1beta1.SpeakerMembers{Alive: 2},
			Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Subnets: []string{"192.0.2.0/24", "fe80::/64"}}},
		},
	}}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

// transcript writes an explanation as one line a link.
func transcript(e Explanation) string {
	var b strings.Builder
	for _, l := range e.Links {
		fmt.Fprintf(&b, "%s %s %s\n", l.State, l.Name, l.Reason)
	}
	return b.String()
}

// want fails unless the first broken link is this one; "" for none.
func want(t *testing.T, e Explanation, link string, reason spec.Reason) {
	t.Helper()
	b := e.FirstBroken()
	switch {
	case b == nil && link != "":
		t.Errorf("%s: nothing is broken, want %s at %s\n%s", e.Subject, reason, link, transcript(e))
	case b != nil && (b.Name != link || b.Reason != reason):
		t.Errorf("%s: %s is broken at %s (%s), want %s at %s\n%s", e.Subject, b.Reason, b.Name, b.Text, reason, link, transcript(e))
	case b != nil && b.Do == "":
		t.Errorf("%s: there is nothing to do about %s", e.Subject, reason)
	}
}
