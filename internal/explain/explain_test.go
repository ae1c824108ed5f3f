package explain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

func web(edit func(*corev1.Service)) func(*Facts) {
	return func(f *Facts) { edit(f.Services[0].Object) }
}

func nodes(edit func(*Node)) func(*Facts) {
	return func(f *Facts) {
		for i := range f.Nodes {
			edit(&f.Nodes[i])
		}
	}
}

// pending takes away what the controller writes.
func pending(o *corev1.Service) { o.Status, o.Annotations = corev1.ServiceStatus{}, nil }

func asking(name, value string) func(*Facts) {
	return web(func(o *corev1.Service) { pending(o); o.Annotations = map[string]string{name: value} })
}

// TestService: each way in which a Service can fail is found at the link where it fails.
func TestService(t *testing.T) {
	full := func(f *Facts) {
		f.Services = append(f.Services, service("a", "192.0.2.10"), service("b", "192.0.2.11"))
		pending(f.Services[0].Object)
	}
	for _, c := range []struct {
		name   string
		edit   []func(*Facts)
		link   string
		reason spec.Reason
	}{
		{"healthy", nil, "", ""},
		{"type ClusterIP", []func(*Facts){web(func(o *corev1.Service) { o.Spec.Type = corev1.ServiceTypeClusterIP })}, "type", ReasonNotLoadBalancer},
		{"of another class", []func(*Facts){func(f *Facts) { f.Services[0].Ours = false }}, "class", ReasonForeignClass},
		{"no pool", []func(*Facts){func(f *Facts) { f.Objects.Pools = nil }, web(pending)}, "pools", alloc.ReasonNoPool},
		{"pool full", []func(*Facts){full}, "address", alloc.ReasonPoolExhausted},
		{"pool disabled", []func(*Facts){func(f *Facts) { f.Objects.Pools[0].Spec.Disabled = true }, asking(v1beta1.AnnotationPool, "lan")}, "address", alloc.ReasonPoolDisabled},
		{"another pool asked for", []func(*Facts){asking(v1beta1.AnnotationPool, "nowhere")}, "address", alloc.ReasonNoPool},
		{"address in no pool", []func(*Facts){asking(v1beta1.AnnotationIPs, "198.51.100.1")}, "address", alloc.ReasonNotInPool},
		{"address of another", []func(*Facts){func(f *Facts) { f.Services = append(f.Services, service("a", "192.0.2.11")) }, asking(v1beta1.AnnotationIPs, "192.0.2.11")}, "address", alloc.ReasonAddressTaken},
		{"wrong family", []func(*Facts){asking(v1beta1.AnnotationIPs, "2001:db8::1")}, "address", alloc.ReasonWrongFamily},
		{"nonsense", []func(*Facts){asking(v1beta1.AnnotationIPs, "x")}, "address", spec.ReasonBadWish},
		{"no family", []func(*Facts){web(func(o *corev1.Service) { pending(o); o.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} })}, "address", alloc.ReasonNoFamily},
		{"excluded", []func(*Facts){func(f *Facts) { f.Objects.Pools[0].Spec.Exclude = []v1beta1.AddressRange{"192.0.2.11"} }, asking(v1beta1.AnnotationIPs, "192.0.2.11")}, "address", alloc.ReasonExcluded},
		{"not allowed", []func(*Facts){func(f *Facts) {
			f.Objects.Pools[0].Spec.AllocateTo = &v1beta1.ServiceAllocation{Namespaces: []string{"other"}}
		}, web(pending)}, "address", alloc.ReasonNotAllowed},
		{"quota", []func(*Facts){func(f *Facts) {
			f.Objects.Pools[0].Spec.MaxPerNamespace = 1
			f.Services = append(f.Services, service("a", "192.0.2.11"))
		}, web(pending)}, "address", alloc.ReasonQuotaReached},
		{"no reservation", []func(*Facts){asking(v1beta1.AnnotationReservation, "r")}, "address", alloc.ReasonNoReservation},
		{"being deleted", []func(*Facts){web(func(o *corev1.Service) { pending(o); now := metav1.NewTime(epoch); o.DeletionTimestamp = &now })}, "address", alloc.ReasonTerminating},
		{"controller away", []func(*Facts){web(pending), func(f *Facts) { f.Controller.Available = 0 }}, "controller", ReasonNoController},
		{"not written yet", []func(*Facts){web(pending)}, "status", ReasonNotWritten},
		{"no advertisement", []func(*Facts){func(f *Facts) { f.Objects.L2Advertisements = nil }}, "advertisement", plan.ReasonNoAdvertisement},
		{"no pod", []func(*Facts){func(f *Facts) { f.Services[0].Endpoints = spec.Endpoints{} }}, "pods", plan.ReasonNoEndpoints},
		{"another proxy", []func(*Facts){web(func(o *corev1.Service) { o.Labels = map[string]string{spec.ProxyNameLabel: "x"} })}, "nodes", plan.ReasonServiceProxy},
		{"no node", []func(*Facts){nodes(func(n *Node) { n.Object.Status.Conditions = nil })}, "nodes", plan.ReasonNoNode},
		{"nobody announces", []func(*Facts){nodes(func(n *Node) { n.Status.Status.L2.Addresses = []string{"198.51.100.1"} })}, "announcer", ReasonNotAnnounced},
		{"two announce", []func(*Facts){nodes(func(n *Node) { n.Status.Status.L2.Addresses = []string{"192.0.2.10"} })}, "announcer", ReasonSeveralAnnounce},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Look(healthy(c.edit...)).Service(key("web"))
			want(t, e, c.link, c.reason)
			if e.Summary == "" {
				t.Error("there is no summary")
			}
		})
	}
	want(t, Look(healthy()).Service(key("nobody")), "object", ReasonNotFound)
}

// TestShortenedStatus: what a status leaves out is no reason to call anything broken, and is told.
func TestShortenedStatus(t *testing.T) {
	left := func(o v1beta1.SpeakerOmitted) func(*Facts) {
		return nodes(func(n *Node) { n.Status.Status.Omitted = o })
	}
	silent := nodes(func(n *Node) { n.Status.Status.L2.Addresses = []string{"198.51.100.1"} })
	v := Look(healthy(silent, left(v1beta1.SpeakerOmitted{L2Addresses: 7})))
	e := v.Service(key("web"))
	want(t, e, "", "")
	if last := e.Links[len(e.Links)-1]; last.Name != "announcer" || last.State != Note || !strings.Contains(last.Text, "among the 7 ranges that are left out") {
		t.Errorf("%+v", last)
	}
	if s := v.Draw().Services[0]; s.State != OK || len(s.Addresses[0].Nodes) != 1 || s.Addresses[0].Nodes[0] != v.Owner(netip.MustParseAddr("192.0.2.10")) {
		t.Errorf("on the page: %+v", s)
	}
	hindered := Look(healthy(silent, left(v1beta1.SpeakerOmitted{L2Addresses: 7}), nodes(func(n *Node) {
		n.Status.Status.L2.Problems = []v1beta1.SpeakerProblem{{Reason: "LinkDown", Addresses: []string{"192.0.2.10"}}}
	})))
	want(t, hindered.Service(key("web")), "announcer", "LinkDown")
	want(t, Look(healthy(silent, left(v1beta1.SpeakerOmitted{BGPPeers: 7}))).Service(key("web")), "announcer", ReasonNotAnnounced)

	gone := Look(healthy(left(v1beta1.SpeakerOmitted{Interfaces: 3, MembersMissing: 4, L2Addresses: 7}), nodes(func(n *Node) {
		n.Status.Status.L2.Addresses = []string{"192.0.2.10"}
		n.Status.Status.Members.Missing = []string{"n3"}
	}))).Node("n1")
	for link, says := range map[string]string{"interfaces": "1 of 1 are up; 3 more are left out", "members": "n3; 4 more are left out"} {
		i := slices.IndexFunc(gone.Links, func(l Link) bool { return l.Name == link })
		if i < 0 || !strings.Contains(gone.Links[i].Text, says) {
			t.Errorf("%s: %q is not in\n%+v", link, says, gone.Links)
		}
	}
	agreed := Look(healthy(silent, left(v1beta1.SpeakerOmitted{L2Addresses: 7})))
	for _, l := range agreed.Node(agreed.Owner(netip.MustParseAddr("192.0.2.10"))).Links {
		if l.Name == "announces" && strings.Contains(l.Text, "does not announce") {
			t.Errorf("what is left out is missed: %s", l.Text)
		}
	}
}

// TestNodeRows: each node has its own reason.
func TestNodeRows(t *testing.T) {
	for _, c := range []struct {
		reason spec.Reason
		edit   func(*Node)
	}{
		{plan.ReasonNoSpeaker, func(n *Node) { n.Pod.Name = "" }},
		{plan.ReasonNoSpeaker, func(n *Node) { n.Status = nil }},
		{plan.ReasonSpeakerNotReady, func(n *Node) { n.Status.Status.State = "starting" }},
		{plan.ReasonDraining, func(n *Node) { n.Status.Status.State = StateDraining }},
		{plan.ReasonNodeNotReady, func(n *Node) { n.Object.Status.Conditions = nil }},
		{plan.ReasonExcluded, func(n *Node) { n.Object.Labels[corev1.LabelNodeExcludeBalancers] = "" }},
		{plan.ReasonDraining, func(n *Node) { n.Object.Spec.Taints = []corev1.Taint{{Key: v1beta1.Drain}} }},
		{plan.ReasonNoInterface, func(n *Node) { n.Status.Status.Interfaces[0].Up = false }},
		{plan.ReasonNotSelected, func(n *Node) { n.Object.Labels["kubernetes.io/hostname"] = "x" }},
		{plan.ReasonNoLocalEndpoint, func(n *Node) {}},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			f := healthy(func(f *Facts) {
				c.edit(&f.Nodes[1])
				if c.reason == plan.ReasonNotSelected {
					f.Objects.L2Advertisements[0].Spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"kubernetes.io/hostname": "n1"}}}
				}
				if c.reason == plan.ReasonNoLocalEndpoint {
					f.Services[0].Object.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
				}
			})
			e := Look(f).Service(key("web"))
			want(t, e, "", "")
			for _, l := range e.Links {
				if l.Name == "nodes" && (l.Rows[0].Reason != "" || l.Rows[1].Reason != c.reason) {
					t.Errorf("rows %+v", l.Rows)
				}
			}
		})
	}
}

// TestPoolRows: the allocator is asked about each pool, and nothing is left of the question.
func TestPoolRows(t *testing.T) {
	f := healthy(func(f *Facts) {
		no := false
		manual, disabled, six, mine := pool("manual", "198.51.100.0/30"), pool("off", "198.51.100.16/30"), pool("six", "2001:db8::/64"), pool("mine", "198.51.100.32/30")
		manual.Spec.AutoAssign, disabled.Spec.Disabled = &no, true
		mine.Spec.AllocateTo = &v1beta1.ServiceAllocation{Namespaces: []string{"mine"}, Priority: 1}
		bad := pool("bad", "x")
		f.Objects.Pools = append(f.Objects.Pools, manual, disabled, six, mine, bad, pool("zed", "198.51.100.48/30"))
	})
	v := Look(f)
	before := v.Usage("zed")
	e := v.Service(key("web"))
	if v.Usage("zed") != before {
		t.Error("asking has changed the table")
	}
	got := map[string]spec.Reason{}
	var order []string
	for _, l := range e.Links {
		if l.Name == "pools" {
			for _, r := range l.Rows {
				got[r.Name] = r.Reason
				order = append(order, r.Name)
			}
		}
	}
	for name, want := range map[string]spec.Reason{
		"lan": alloc.ReasonAllocated, "manual": ReasonManual, "off": alloc.ReasonPoolDisabled, "six": alloc.ReasonNoFamily,
		"mine": alloc.ReasonNotAllowed, "bad": spec.ReasonBadRange, "zed": ReasonLater,
	} {
		if got[name] != want {
			t.Errorf("pool %s: %q, want %q", name, got[name], want)
		}
	}
	if strings.Join(order, " ") != "mine lan manual off six zed bad" {
		t.Errorf("the order is %v", order)
	}
}

func TestAddress(t *testing.T) {
	v := Look(healthy(func(f *Facts) {
		f.Used = []spec.Occupied{{Range: spec.Range{From: netip.MustParseAddr("192.0.2.11"), To: netip.MustParseAddr("192.0.2.11")}, What: "the InternalIP of node n1"}}
		f.Nodes[0].Status.Status.L2.Addresses = []string{"192.0.2.10", "203.0.113.1"}
	}))
	want(t, v.Address(netip.MustParseAddr("192.0.2.10")), "", "")
	want(t, v.Address(netip.MustParseAddr("192.0.2.11")), "", "")
	want(t, v.Address(netip.MustParseAddr("198.51.100.1")), "pool", alloc.ReasonNotInPool)
	want(t, v.Address(netip.MustParseAddr("203.0.113.1")), "pool", alloc.ReasonNotInPool)
	if e := v.Address(netip.MustParseAddr("203.0.113.1")); !strings.Contains(transcript(e), "broken announcer OtherPlan") {
		t.Errorf("nobody says that it is announced:\n%s", transcript(e))
	}
}

func TestNodeAndPool(t *testing.T) {
	v := Look(healthy(func(f *Facts) {
		f.Nodes[1].Status.Status.State = "starting"
		f.Nodes[0].Status.Status.Members.Missing = []string{"n2"}
		f.Objects.Pools = append(f.Objects.Pools, pool("bad", "x"))
		f.Services = append(f.Services, service("out", "203.0.113.9"))
	}))
	want(t, v.Node("n1"), "", "")
	want(t, v.Node("n2"), "speaker", plan.ReasonNoSpeaker)
	want(t, v.Node("n3"), "object", ReasonNotFound)
	want(t, v.Pool("lan"), "", "")
	want(t, v.Pool("bad"), "object", spec.ReasonBadRange)
	want(t, v.Pool("x"), "object", ReasonNotFound)
	if text := transcript(v.Node("n1")); !strings.Contains(text, "note members NoSpeaker") {
		t.Error(text)
	}
	if text := transcript(v.Pool("lan")); !strings.Contains(text, "note outside PoolGone") {
		t.Error(text)
	}
	far := Look(healthy(func(f *Facts) {
		f.Nodes[0].Status.Status.L2.Addresses = []string{"198.51.100.7"}
		f.Services[0].Object.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}))
	if text := transcript(far.Node("n1")); !strings.Contains(text, "note announces OtherPlan") {
		t.Error(text)
	}
	far.Nodes[0].Status.ManagedFields = []metav1.ManagedFieldsEntry{{Subresource: "status", Time: new(metav1.NewTime(epoch))}}
	links := far.Node("n1").Links
	if text := links[len(links)-1].Text; !strings.HasSuffix(text, "so it stands since 2026-01-01T00:00:00Z") {
		t.Error(text)
	}
}

// TestWhatSpeakersSay: what keeps a speaker from answering, and who else has the address, is told where it matters.
func TestWhatSpeakersSay(t *testing.T) {
	on := func(edit func(*v1beta1.SpeakerL2)) Facts {
		f := healthy()
		owner := Look(f).owners[netip.MustParseAddr("192.0.2.10")]
		for _, n := range f.Nodes {
			if n.Object.Name == owner {
				edit(&n.Status.Status.L2)
			}
		}
		return f
	}
	held := on(func(l *v1beta1.SpeakerL2) {
		l.Addresses, l.Problems = nil, []v1beta1.SpeakerProblem{{Reason: "Probing", Addresses: []string{"192.0.2.9-192.0.2.10"}}}
	})
	want(t, Look(held).Service(key("web")), "announcer", "Probing")
	fought := on(func(l *v1beta1.SpeakerL2) {
		l.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.10", MAC: "02:00:00:00:00:99", Interface: "eth0"}}
	})
	want(t, Look(fought).Service(key("web")), "conflict", "Conflict")
}

// TestPresentOwner: who claims an address keeps it, whoever would be elected otherwise.
func TestPresentOwner(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.10")
	for _, n := range []string{"n1", "n2"} {
		f := healthy(func(f *Facts) {
			for i := range f.Nodes {
				if f.Nodes[i].Object.Name == n {
					f.Nodes[i].Status.Status.L2 = v1beta1.SpeakerL2{Addresses: []string{"192.0.2.10"}, Claims: []v1beta1.SpeakerClaim{{Epoch: 3, Addresses: []string{"192.0.2.10"}}}}
				}
			}
		})
		v := Look(f)
		if got := v.Owner(a); got != n {
			t.Errorf("%s claims it, but %s is said to be the owner", n, got)
		}
		want(t, v.Service(key("web")), "", "")
	}
}
