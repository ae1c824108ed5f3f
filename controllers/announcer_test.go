package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// stock is what a cache holds, read without copying.
type stock struct {
	services []corev1.Service
	slices   map[string][]discoveryv1.EndpointSlice // by name of the Service
	nodes    []corev1.Node
	pods     []corev1.Pod
	statuses []v1beta1.SpeakerStatus
	pools    []v1beta1.IPAddressPool
	l2       []v1beta1.L2Advertisement
	at       map[types.NamespacedName]int
}

func (s *stock) Get(_ context.Context, k client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if i, ok := s.at[k]; ok {
		*o.(*corev1.Service) = s.services[i]
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, k.Name)
}

func (s *stock) List(_ context.Context, l client.ObjectList, opts ...client.ListOption) error {
	switch l := l.(type) {
	case *corev1.ServiceList:
		l.Items = s.services
	case *corev1.NodeList:
		l.Items = s.nodes
	case *corev1.PodList:
		l.Items = s.pods
	case *v1beta1.SpeakerStatusList:
		l.Items = s.statuses
	case *v1beta1.IPAddressPoolList:
		l.Items = s.pools
	case *v1beta1.L2AdvertisementList:
		l.Items = s.l2
	case *discoveryv1.EndpointSliceList:
		for _, o := range opts {
			f, ok := o.(client.MatchingFields)
			for name, slices := range s.slices {
				if ok && f[sliceBucket] == bucketOf(name) {
					l.Items = append(l.Items, slices...)
				}
			}
		}
	}
	return nil
}

// add puts in a Service of ours with one address and an endpoint on a node.
func (s *stock) add(name, address, node string) {
	s.at[types.NamespacedName{Namespace: "ns", Name: name}] = len(s.services)
	s.services = append(s.services, corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "a"}},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}}},
	})
	s.slices[name] = []discoveryv1.EndpointSlice{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: map[string]string{discoveryv1.LabelServiceName: name}}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{NodeName: &node}},
	}}
}

func newStock(nodes int) *stock {
	s := &stock{
		slices: map[string][]discoveryv1.EndpointSlice{}, at: map[types.NamespacedName]int{},
		pools: []v1beta1.IPAddressPool{{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.0/8"}}}},
		l2:    []v1beta1.L2Advertisement{{ObjectMeta: metav1.ObjectMeta{Name: "all"}}},
	}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i)
		s.nodes = append(s.nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
		s.pods = append(s.pods, corev1.Pod{Spec: corev1.PodSpec{NodeName: name},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}})
		s.statuses = append(s.statuses, speakerStatus(name, func(s *v1beta1.SpeakerStatusStatus) {
			s.State, s.Interfaces = "ready", []v1beta1.SpeakerInterface{{Name: "eth0", Up: true, Subnets: []string{"10.0.0.0/8"}}}
		}))
	}
	return s
}

// desk is an announcer with a clock that the test moves, and all that it has said.
type desk struct {
	*announcer
	said  map[types.NamespacedName]announcement
	words int // how often
	at    time.Time
}

func newDesk(t testing.TB, s *stock) *desk {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{said: map[types.NamespacedName]announcement{}, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	d.announcer = &announcer{
		log: logr.Discard(), cache: s, classes: kube.DefaultClasses(), namespace: "belfry", patience: 5 * time.Second,
		now: func() time.Time { return d.at }, changes: newChanges(), metrics: m, hint: func(map[string]hint) {},
		say: func(news map[types.NamespacedName]announcement) {
			for k, v := range news {
				d.said[k] = v
				d.words++
			}
		},
		last: map[types.NamespacedName]announcement{}, since: map[types.NamespacedName]time.Time{},
	}
	return d
}

// step lets some time go by and makes a pass; it returns what is said of the Service by now.
func (d *desk) step(t testing.TB, later time.Duration, all bool, name string) string {
	t.Helper()
	d.at = d.at.Add(later)
	d.changes.mark(all, types.NamespacedName{Namespace: "ns", Name: name})
	if err := d.pass(context.Background()); err != nil {
		t.Fatal(err)
	}
	a := d.said[types.NamespacedName{Namespace: "ns", Name: name}]
	return string(a.reason) + " " + a.message
}

// TestAnnouncerStory: nodes come and go, and what is said of the Service web changes only when that is news.
func TestAnnouncerStory(t *testing.T) {
	s := newStock(2)
	s.add("web", "10.0.0.1", "n0")
	d := newDesk(t, s)
	status := func(i int) *v1beta1.SpeakerStatusStatus { return &s.statuses[i].Status }
	for i, step := range []struct {
		what  string
		does  func()
		later time.Duration
		want  string
		words int
	}{
		{"it has got its address just now", func() {}, 0, " ", 0},
		{"a speaker answers", func() { answers("10.0.0.1")(status(0)) }, time.Second, "Announced by node n0", 1},
		{"heartbeat", func() { status(0).Version = "v2" }, time.Second, "Announced by node n0", 1},
		{"its Pod restarts", func() { s.pods[0].Status.Conditions[0].Status = corev1.ConditionFalse }, time.Second, "Announced by node n0", 1},
		{"another stands in for it", func() { standsIn("n0", "10.0.0.1")(status(1)) }, 4 * time.Second, "Announced by node n0", 1},
		{"for long", func() {}, 20 * time.Second, "Announced by node n0", 1},
		{"it is back", func() { s.pods[0].Status.Conditions[0].Status = corev1.ConditionTrue; status(1).L2.StandIns = nil }, time.Second, "Announced by node n0", 1},
		{"n0 dies", func() { misses("n0")(status(1)) }, time.Second, "Announced by node n0", 1},
		{"n1 takes over", func() { answers("10.0.0.1")(status(1)) }, time.Second, "Announced by node n1", 2},
		{"n1 falls silent", func() { answers()(status(1)) }, time.Second, "Announced by node n1", 2},
		{"and stays so", func() {}, 5 * time.Second, "NotYetAnnounced 10.0.0.1: node n1 is to announce it, but its speaker does not say yet that it does", 3},
		{"no pod is left: nothing that passes by itself", func() { s.slices["web"] = nil }, time.Second, "NotYetAnnounced 10.0.0.1: node n1 is to announce it, but its speaker does not say yet that it does", 3},
		{"for a second", func() {}, time.Second, "NoEndpoints 10.0.0.1: the Service has no ready endpoint of IPv4", 4},
		{"another of its name", func() { s.services[0].UID = "new"; answers("10.0.0.1")(status(1)) }, time.Second, "Announced by node n1", 5},
		{"it is not ours any more", func() { s.services[0].Spec.Type = corev1.ServiceTypeClusterIP }, time.Second, "Announced by node n1", 5},
	} {
		step.does()
		if got := d.step(t, step.later, true, "web"); got != step.want || d.words != step.words {
			t.Errorf("%d, %s: %q after %d words, want %q after %d", i, step.what, got, d.words, step.want, step.words)
		}
	}
	if len(d.views)+len(d.last)+len(d.since)+len(d.holders) != 0 {
		t.Errorf("remembers %v, %v, %v, %v", d.views, d.last, d.since, d.holders)
	}
}

// TestAnnouncerShortened: a speaker that has too many addresses to name them all is taken to announce what it is to, unless it tells
// of trouble with it; one that leaves out other things is not.
func TestAnnouncerShortened(t *testing.T) {
	const silent = "NotYetAnnounced 10.0.0.1: node n0 is to announce it, but its speaker does not say yet that it does"
	for _, c := range []struct {
		name string
		left v1beta1.SpeakerOmitted
		says func(*v1beta1.SpeakerStatusStatus)
		want string
	}{
		{"all are named", v1beta1.SpeakerOmitted{}, answers("10.0.0.2"), silent},
		{"some are not", v1beta1.SpeakerOmitted{L2Addresses: 1}, answers("10.0.0.2"), "Announced by node n0"},
		{"problems and claims are left out, no addresses", v1beta1.SpeakerOmitted{L2Problems: 5, L2Claims: 5}, answers("10.0.0.2"), silent},
		{"it tells of trouble", v1beta1.SpeakerOmitted{L2Addresses: 1}, func(s *v1beta1.SpeakerStatusStatus) {
			s.L2.Problems = []v1beta1.SpeakerProblem{{Reason: "LinkDown", Addresses: []string{"10.0.0.1"}}}
		}, "LinkDown 10.0.0.1: node n0 is to announce it and cannot: LinkDown"},
	} {
		s := newStock(1)
		s.add("web", "10.0.0.1", "n0")
		c.says(&s.statuses[0].Status)
		s.statuses[0].Status.Omitted = c.left
		d := newDesk(t, s)
		d.step(t, 0, true, "web")
		if got := d.step(t, 6*time.Second, true, "web"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAnnouncerShared: who shares an address with others is not announced where nobody serves it.
func TestAnnouncerShared(t *testing.T) {
	s := newStock(2)
	s.add("web", "10.0.0.1", "n0")
	s.add("dns", "10.0.0.1", "n1")
	for i := range s.services {
		s.services[i].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	s.services[0].CreationTimestamp, s.services[1].CreationTimestamp = metav1.Unix(1, 0), metav1.Unix(2, 0)
	answers("10.0.0.1")(&s.statuses[0].Status)
	d := newDesk(t, s)
	if got := d.step(t, 0, true, "web"); got != "Announced by node n0" {
		t.Errorf("web: %q", got)
	}
	if got := d.step(t, 6*time.Second, true, "dns"); got[:len("SharedElsewhere")] != "SharedElsewhere" {
		t.Errorf("dns: %q", got)
	}
	s.slices["dns"][0].Endpoints = s.slices["web"][0].Endpoints
	if got := d.step(t, time.Second, false, "dns"); got != "Announced by node n0" {
		t.Errorf("dns with a pod on n0: %q", got)
	}
	// web goes: dns is alone with its address, and is looked at though nothing happened to itself.
	delete(s.at, types.NamespacedName{Namespace: "ns", Name: "web"})
	s.slices["web"][0].Endpoints, s.slices["dns"][0].Endpoints = nil, nil
	words := d.words
	d.step(t, time.Second, false, "web")
	if d.words != words || len(d.holders[netip.MustParseAddr("10.0.0.1")]) != 1 {
		t.Errorf("%d words, holders %v", d.words-words, d.holders)
	}
}

// TestAnnouncerTwin: passes over what has changed say in the end what a pass over everything says.
func TestAnnouncerTwin(t *testing.T) {
	s := newStock(5)
	for i := range 200 {
		s.add(fmt.Sprintf("s%d", i), fmt.Sprintf("10.0.0.%d", 1+i/2*2%150), fmt.Sprintf("n%d", i%5))
	}
	d := newDesk(t, s)
	d.step(t, 0, true, "s0")
	for i := range s.services {
		answers(fmt.Sprintf("10.0.0.%d-10.0.0.%d", i%5*20, i%5*20+30))(&s.statuses[i%5].Status)
		if i%3 == 0 {
			s.services[i].Status.LoadBalancer.Ingress[0].IP = fmt.Sprintf("10.0.0.%d", 1+i%170)
		}
		d.step(t, time.Second, i%50 == 49, s.services[i].Name)
	}
	d.step(t, time.Minute, true, "s0")
	d.step(t, time.Minute, true, "s0")
	twin := newDesk(t, s)
	twin.step(t, 0, true, "s0")
	twin.step(t, time.Minute, true, "s0")
	if len(twin.last) != len(s.services) || len(d.last) != len(twin.last) {
		t.Fatalf("%d are told of, and %d by the twin", len(d.last), len(twin.last))
	}
	for k, want := range twin.last {
		if got := d.last[k]; !got.repeats(want) {
			t.Errorf("%s: %+v, want %+v", k, got, want)
		}
	}
}

// BenchmarkAnnounced: 10,000 Services, 100 nodes that announce 100 of them each.
//
//	speaker   a speaker has said something: everything is looked at
//	service   one Service has changed
//	moved     a node with 100 addresses has died and others have taken over
//	silent    no speaker says anything: the plan is asked about all
func BenchmarkAnnounced(b *testing.B) {
	const services, nodes = 10000, 100
	fill := func() *stock {
		s := newStock(nodes)
		each := make([][]string, nodes)
		for i := range services {
			a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
			s.add(fmt.Sprintf("s%d", i), a, fmt.Sprintf("n%d", i%nodes))
			each[i*7%nodes] = append(each[i*7%nodes], a)
		}
		for i := range each {
			answers(each[i]...)(&s.statuses[i].Status)
			claim(1, each[i]...)(&s.statuses[i].Status)
		}
		return s
	}
	run := func(name string, all bool, s *stock, each func(int)) {
		b.Run(name, func(b *testing.B) {
			d := newDesk(b, s)
			d.step(b, 0, true, "s0")
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				each(i)
				d.step(b, time.Second, all, "s0")
			}
		})
	}
	s := fill()
	run("speaker", true, s, func(i int) { s.statuses[i%nodes].Status.Version = fmt.Sprint(i) })
	run("service", false, s, func(int) {})
	mine, theirs := s.statuses[0].Status.L2, s.statuses[1].Status.L2
	run("moved", true, s, func(i int) {
		s.statuses[i%2].Status.L2, s.statuses[1-i%2].Status.L2 = mine, theirs
	})
	for i := range s.statuses {
		s.statuses[i].Status.L2 = v1beta1.SpeakerL2{}
	}
	run("silent", true, s, func(int) {})
}
