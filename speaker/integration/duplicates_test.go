package integration

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/arp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

// startController runs the controller beside the speakers: it tells users what they report.
func startController(t *testing.T) {
	t.Helper()
	logs := &speakertest.Journal{}
	cmd := exec.Command(api.Program, "controller", "--kubeconfig="+api.Kubeconfig(t, api.Server), "--namespace="+namespace,
		"--health-address=0", "--metrics-address=0")
	ended := logs.Start(t, nettest.Here(t), cmd)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		logs.Judge(t, "controller")
	})
}

// announced waits until the Service says so, or why not.
func announced(t *testing.T, service string, is metav1.ConditionStatus, words ...string) {
	t.Helper()
	var c *metav1.Condition
	holds := func() bool {
		var o corev1.Service
		must(t, api.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: service}, &o))
		c = meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAnnounced)
		return c != nil && c.Status == is && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(c.Reason+" "+c.Message, w) })
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s is announced: %+v", service, c)
		}
	}()
	eventually(t, service+" is announced: "+string(is)+" "+strings.Join(words, " "), holds)
}

// wish makes a Service whose address is left to the controller, which is asked for the one that it has here.
func (s *site) wish(o *corev1.Service) {
	s.t.Helper()
	o.Annotations = map[string]string{v1beta1.AnnotationIPs: o.Status.LoadBalancer.Ingress[0].IP}
	o.Status = corev1.ServiceStatus{}
	must(s.t, api.Create(context.Background(), o))
	s.t.Cleanup(func() { must(s.t, client.IgnoreNotFound(api.Delete(context.Background(), o))) })
}

// claims sends so many gratuitous ARP requests for an address that h has not.
func (h *host) claims(a netip.Addr, times int) {
	h.t.Helper()
	must(h.t, h.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, err := arp.Dial(i)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		all := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		p, err := arp.NewPacket(arp.OperationRequest, i.HardwareAddr, a, all, a)
		if err != nil {
			return err
		}
		for range times {
			err = errors.Join(err, c.WriteTo(p, all))
		}
		return err
	}))
}

const gratuitous = `belfry_l2_gratuitous_total{interface="eth0",protocol="arp"}`

// TestDuplicates: others have the address.
func TestDuplicates(t *testing.T) {
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", "10.78.0.9/24")
	stranger := newHost(t)
	l.Join(stranger.Host, "stranger", "10.78.0.8/24", "10.78.0.100/24")
	d1, d2 := newNode(t, l, s.api, "d1", "10.78.0.1/24"), newNode(t, l, s.api, "d2", "10.78.0.2/24")
	d1.Labels = map[string]string{"preferred": "yes"}
	s.nodes = []*node{d1, d2}
	create(t, speakertest.Pool("dup", "10.78.0.100-10.78.0.119"))
	first := advertisement("dup", "dup")
	first.Spec.Failback = v1beta1.FailbackNever
	first.Spec.PreferredNodeSelectors = []v1beta1.PreferredNodes{{Weight: 1, Preference: metav1.LabelSelector{MatchLabels: d1.Labels}}}
	create(t, first)
	s.up()
	startController(t)
	t.Run("a stranger has it", func(t *testing.T) { testStranger(t, s, stranger) })
	t.Run("a stranger claims it later", func(t *testing.T) { testDefence(t, s, stranger) })
	t.Run("a node has it", func(t *testing.T) { testHeldByMember(t, s, d1, d2) })
	t.Run("a node has it that cannot serve", func(t *testing.T) { testHeldInVain(t, s, d1, d2) })
	t.Run("both sides of a partition have it", func(t *testing.T) { testBothHaveIt(t, s, d1, d2) })
}

// testStranger: nobody announces, users are told whose it is, and when it is free it is taken.
func testStranger(t *testing.T, s *site, stranger *host) {
	a := netip.MustParseAddr("10.78.0.100")
	create(s.t, endpoints("stranger", "d1"))
	s.wish(speakertest.Service("stranger", "dup", a.String()))
	announced(t, "stranger", metav1.ConditionFalse, "Conflict", stranger.mac())
	if macs := s.asker.answers(a); !slices.Equal(macs, []string{stranger.mac()}) {
		t.Errorf("%v answer, the stranger is %s", macs, stranger.mac())
	}
	asked := s.nodes[0] // it is preferred
	if c := asked.status().Status.L2.Conflicts; len(c) != 1 || c[0].MAC != stranger.mac() || c[0].Address != a.String() {
		t.Errorf("the status tells of %+v", c)
	}
	if n := asked.metric(`belfry_l2_foreign_hosts{interface="eth0",mac="` + stranger.mac() + `"}`); n != 1 {
		t.Errorf("the metric tells of %v addresses", n)
	}
	eventually(t, "an event names the stranger", func() bool {
		var events corev1.EventList
		must(t, api.List(context.Background(), &events, client.InNamespace(namespace)))
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Name == "stranger" && e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, stranger.mac())
		})
	})
	stranger.Unaddress("eth0", "10.78.0.100/24")
	s.owner(a, asked)
	announced(t, "stranger", metav1.ConditionTrue, "d1")
}

// testDefence: who has announced an address says so again, once, however often somebody else claims it.
func testDefence(t *testing.T, s *site, stranger *host) {
	a := netip.MustParseAddr("10.78.0.100")
	owner := s.owner(a, s.nodes...)
	said := owner.metric(gratuitous)
	stranger.claims(a, 1)
	eventually(t, "the claim is reported", func() bool {
		return slices.ContainsFunc(owner.status().Status.L2.Conflicts, func(c v1beta1.SpeakerConflict) bool { return c.MAC == stranger.mac() })
	})
	eventually(t, "the address is defended", func() bool { return owner.metric(gratuitous) > said })
	for range 20 {
		stranger.claims(a, 10)
		s.owner(a, owner)
	}
	// Two forms each time; each look for the owner lasts a quarter of a second, so twice is what can be due, and more on a slow
	// machine; an answer to each claim would be two hundred.
	if n := owner.metric(gratuitous) - said; n > 40 {
		t.Errorf("%v frames in defence against 200 claims", n)
	}
}

// testHeldByMember: another announcer on a node has the address, so that node is the first owner though another is preferred.
// Whoever asks is told the same hardware address all the time.
func testHeldByMember(t *testing.T, s *site, d1, d2 *node) {
	a := netip.MustParseAddr("10.78.0.101")
	d2.Address("eth0", "10.78.0.101/32")
	w := s.asker.witness(a)
	create(s.t, endpoints("held", "d1"))
	s.wish(speakertest.Service("held", "dup", a.String()))
	eventually(t, "d2 announces it", func() bool { return slices.Contains(expand(d2.status().Status.L2.Addresses), a) })
	announced(t, "held", metav1.ConditionTrue, "d2")
	d2.Unaddress("eth0", "10.78.0.101/32") // the other announcer goes
	s.owner(a, d2)
	w.only(d2)
	if c := d1.status().Status.L2.Conflicts; slices.ContainsFunc(c, func(c v1beta1.SpeakerConflict) bool { return c.Address == a.String() && c.Node == "" }) {
		t.Errorf("a node of the cluster is called a stranger: %+v", c)
	}
}

// testHeldInVain: the node that has it has no pod of the Service, so the others wait and say for what.
func testHeldInVain(t *testing.T, s *site, d1, d2 *node) {
	a := netip.MustParseAddr("10.78.0.102")
	d2.Address("eth0", "10.78.0.102/32")
	create(s.t, endpoints("vain", "d1"))
	o := speakertest.Service("vain", "dup", a.String())
	o.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	s.wish(o)
	announced(t, "vain", metav1.ConditionFalse, "HeldByStation", "d2")
	if macs := s.asker.answers(a); !slices.Equal(macs, []string{d2.mac()}) {
		t.Errorf("%v answer, d2 is %s", macs, d2.mac())
	}
	d2.Unaddress("eth0", "10.78.0.102/32")
	s.owner(a, d1)
	announced(t, "vain", metav1.ConditionTrue, "d1")
}

// testBothHaveIt cuts the speakers off from each other, not their neighbours from them: both announce, hear each other and do
// not fight. When they meet one gives in.
func testBothHaveIt(t *testing.T, s *site, d1, d2 *node) {
	a := netip.MustParseAddr("10.78.0.101")
	owner, heir := d2, d1
	s.owner(a, owner)
	cut := []*netlink.Route{hole("10.78.0.2/32"), hole("10.78.0.1/32")}
	for i, n := range s.nodes {
		must(t, n.Netlink.RouteAdd(cut[i]))
	}
	eventually(t, "both answer", func() bool { return len(s.asker.answers(a)) == 2 })
	said := owner.metric(gratuitous) + heir.metric(gratuitous)
	for range 8 {
		s.asker.answers(a)
	}
	if n := owner.metric(gratuitous) + heir.metric(gratuitous) - said; n > 20 { // the end of the burst
		t.Errorf("%v frames while both have the address", n)
	}
	for i, n := range s.nodes {
		must(t, n.Netlink.RouteDel(cut[i]))
	}
	s.owner(a, heir) // of two claims that of the preferred node wins
	eventually(t, "d2 has let go", func() bool { return !slices.Contains(expand(owner.status().Status.L2.Addresses), a) })
	s.owner(a, heir)
}

// hole swallows what is sent there.
func hole(cidr string) *netlink.Route {
	dst, err := netlink.ParseIPNet(cidr)
	if err != nil {
		panic(err)
	}
	return &netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}
}

// expand reads ranges as a status has them.
func expand(ranges []string) (out []netip.Addr) {
	for _, r := range ranges {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			to = from
		}
		for a, last := netip.MustParseAddr(from), netip.MustParseAddr(to); a.Compare(last) <= 0; a = a.Next() {
			out = append(out, a)
		}
	}
	return out
}
