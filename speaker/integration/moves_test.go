package integration

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

// twoNodes are on a LAN of their own, with one Service.
func twoNodes(t *testing.T, net, advertised string, failback v1beta1.Failback, flags ...string) (*site, netip.Addr) {
	t.Helper()
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", net+".9/24")
	for i := range 2 {
		n := newNode(t, l, s.api, fmt.Sprint(advertised, i+1), fmt.Sprint(net, ".", i+1, "/24"))
		n.flags = flags
		s.nodes = append(s.nodes, n)
	}
	create(t, speakertest.Pool(advertised, v1beta1.AddressRange(net+".100-"+net+".119")))
	o := advertisement(advertised, advertised)
	o.Spec.Failback = failback
	o.Spec.PreferredNodeSelectors = []v1beta1.PreferredNodes{{Weight: 1, Preference: metav1.LabelSelector{MatchLabels: map[string]string{"turn": "yes"}}}}
	create(t, o)
	create(t, endpoints(advertised, s.nodes[0].Name))
	create(t, speakertest.Service(advertised, advertised, net+".100"))
	return s, netip.MustParseAddr(net + ".100")
}

// TestFailback: an address goes to the better node as its advertisement says, and nobody is told the old hardware address after
// the new one.
func TestFailback(t *testing.T) {
	s, a := twoNodes(t, "10.79.0", "fb", v1beta1.FailbackNever)
	s.up()
	owner := s.owner(a, s.nodes...)
	better := s.but(owner)[0]
	set := func(f v1beta1.Failback) {
		o := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "fb"}}
		must(t, api.Patch(context.Background(), o, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"failback":%q}}`, f))))
	}

	w, made := s.asker.witness(a), map[*node]float64{}
	for _, n := range s.nodes {
		made[n] = n.metric(passesMade)
	}
	label(t, better.Name, "yes")
	for _, n := range s.nodes {
		eventually(t, n.Name+" has seen that the other is preferred", func() bool { return n.metric(passesMade) > made[n] })
	}
	s.owner(a, owner)
	w.only(owner)

	w = s.asker.witness(a)
	set(v1beta1.FailbackImmediate)
	s.owner(a, better)
	w.moved(owner, better)

	set(v1beta1.FailbackDelayed)
	w = s.asker.witness(a)
	label(t, better.Name, "no")
	label(t, owner.Name, "yes")
	s.owner(a, owner) // both have been ready for long enough, sooner or later
	w.moved(better, owner)
}

// TestBalance: a node that comes takes its share from one that has all, each address without an answer that leads back.
func TestBalance(t *testing.T) {
	const addresses = 8
	s, a := twoNodes(t, "10.80.0", "bal", v1beta1.FailbackDelayed)
	all := []netip.Addr{a}
	for i := range addresses - 1 {
		next := all[i].Next()
		all = append(all, next)
		name := fmt.Sprint("bal-", i)
		create(t, endpoints(name, s.nodes[0].Name))
		create(t, speakertest.Service(name, "bal", next.String()))
	}
	for _, n := range s.nodes {
		create(t, n.Object())
	}
	first, second := s.nodes[0], s.nodes[1]
	create(t, first.Pod())
	first.start()
	eventually(t, "the first has all", func() bool { return first.status().Status.L2.Count == addresses })
	var watches []*witness
	for _, a := range all {
		watches = append(watches, s.asker.witness(a))
	}
	create(t, second.Pod())
	second.start()
	eventually(t, "the second has its share", func() bool {
		n := second.status().Status.L2.Count
		return n >= 3 && first.status().Status.L2.Count+n == addresses
	})
	moved := 0
	for i, w := range watches {
		switch turns := w.turns(); {
		case slices.Equal(turns, []string{first.mac()}):
		case slices.Equal(turns, []string{first.mac(), second.mac()}):
			moved++
		default:
			t.Errorf("%s was said to be at %v, one after the other", all[i], turns)
		}
	}
	if moved < 3 {
		t.Errorf("%d addresses were seen to move", moved)
	}
}

// TestStops: a speaker that is told to stop, in the cases in which that is no plain restart, and with the API server away.
func TestStops(t *testing.T) {
	s, a := twoNodes(t, "10.81.0", "st", v1beta1.FailbackNever, "--on-restart=handover")
	s.up()
	// leaves has the owner's speaker end, and something marked just before: it hands its address over first.
	leaves := func(t *testing.T, mark func(*node)) (owner, heir *node) {
		t.Helper()
		owner = s.owner(a, s.nodes...)
		heir = s.but(owner)[0]
		w := s.asker.witness(a)
		mark(owner)
		if err := owner.Stop(unix.SIGTERM); err != nil {
			t.Errorf("the speaker of %s ended with %v", owner.Name, err)
		}
		s.owner(a, heir)
		w.moved(owner, heir)
		return owner, heir
	}
	comes := func(t *testing.T, n *node) {
		t.Helper()
		n.start()
		eventually(t, n.Name+" is ready again", n.ready)
	}
	t.Run("handover", func(t *testing.T) {
		owner, heir := leaves(t, func(*node) {})
		comes(t, owner)
		s.owner(a, heir) // who is back has nothing
	})
	t.Run("handover, API server away", func(t *testing.T) {
		s.api.cut()
		owner, heir := leaves(t, func(*node) {})
		comes(t, owner) // from its snapshot, which says that it had the address
		s.owner(a, heir)
		s.api.mend()
	})
	for _, n := range s.nodes { // from now on a stop is a restart
		n.flags = nil
		must(t, n.Stop(unix.SIGTERM))
		comes(t, n)
	}
	t.Run("the machine goes down", func(t *testing.T) {
		ready := func(n *node, is corev1.ConditionStatus, message string) {
			o := n.Object()
			o.Status.Conditions[0].Status, o.Status.Conditions[0].Message = is, message
			must(t, api.Status().Patch(context.Background(), o, client.Merge))
		}
		owner, _ := leaves(t, func(n *node) { ready(n, corev1.ConditionFalse, "node is shutting down") })
		ready(owner, corev1.ConditionTrue, "")
		comes(t, owner)
	})
	t.Run("drained in the same moment", func(t *testing.T) {
		taint := func(n *node, value string) {
			o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"taints":`+value+`}}`))
			must(t, api.Patch(context.Background(), o, patch))
		}
		owner, _ := leaves(t, func(n *node) { taint(n, `[{"key":"belfry.dev/drain","effect":"NoSchedule"}]`) })
		taint(owner, "null")
		comes(t, owner)
	})
	t.Run("restart, API server away", func(t *testing.T) {
		owner := s.owner(a, s.nodes...)
		w := s.asker.witness(a)
		s.api.cut()
		must(t, owner.Stop(unix.SIGTERM))
		s.owner(a, owner) // by the other
		comes(t, owner)
		s.owner(a, owner)
		w.only(owner)
		s.api.mend()
	})
}
