package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/speakertest"
	"github.com/belfry-lb/belfry/internal/spec"
)

// site is a LAN with nodes and one host that asks.
type site struct {
	t     testing.TB
	api   *proxy
	nodes []*node
	asker *host
}

func newSite(t testing.TB) (*site, nettest.LAN) {
	t.Helper()
	s := &site{t: t, api: newProxy(t, api.Server), asker: newHost(t)}
	api.PutNamespace(t)
	return s, nettest.NewLAN(t)
}

// up starts the speakers of all nodes and waits until they take part.
func (s *site) up() {
	s.t.Helper()
	for _, n := range s.nodes {
		create(s.t, n.Object())
		create(s.t, n.Pod())
	}
	for _, n := range s.nodes {
		n.start()
	}
	for _, n := range s.nodes {
		eventually(s.t, n.Name+" is ready", n.ready)
	}
}

// owner waits until exactly one node answers for the address, and no other within the same moment.
func (s *site) owner(a netip.Addr, of ...*node) *node {
	s.t.Helper()
	var owner *node
	eventually(s.t, "one node answers for "+a.String(), func() bool {
		macs := s.asker.answers(a)
		i := slices.IndexFunc(of, func(n *node) bool { return len(macs) == 1 && n.mac() == macs[0] })
		if i < 0 {
			return false
		}
		owner = of[i]
		return true
	})
	return owner
}

func (s *site) silent(a netip.Addr) {
	s.t.Helper()
	eventually(s.t, "nobody answers for "+a.String(), func() bool { return len(s.asker.answers(a)) == 0 })
}

// but returns the nodes without one.
func (s *site) but(n *node) []*node {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(m *node) bool { return m == n })
}

// newWeb is a site on which these nodes' speakers are up, with a Service that has a pod on the first.
func newWeb(t *testing.T, nodes ...string) (*site, nettest.LAN, netip.Addr) {
	t.Helper()
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", "10.77.0.9/24")
	for i, name := range nodes {
		s.nodes = append(s.nodes, newNode(t, l, s.api, name, fmt.Sprintf("10.77.0.%d/24", i+1)))
	}
	web := netip.MustParseAddr("10.77.0.100")
	create(t, speakertest.Pool("lan", "10.77.0.100-10.77.0.119"))
	create(t, advertisement("lan", "lan"))
	create(t, endpoints("web", nodes[0]))
	create(t, speakertest.Service("web", "lan", web.String()))
	s.up()
	return s, l, web
}

func TestSpeakers(t *testing.T) {
	s, l, web := newWeb(t, "n1", "n2", "n3")
	owner := s.owner(web, s.nodes...)

	t.Run("statuses", func(t *testing.T) { testStatuses(t, s, owner) })
	t.Run("passes that change nothing write nothing", func(t *testing.T) { testNoWrites(t, s) })
	t.Run("a deleted status comes back", func(t *testing.T) { testDeletedStatus(t, s) })
	t.Run("what is not ours is silent", func(t *testing.T) { testNotOurs(t, s) })
	t.Run("an edit moves and silences", func(t *testing.T) { testEdits(t, s) })
	t.Run("told to stop", func(t *testing.T) { testRestart(t, s, web, unix.SIGTERM) })
	t.Run("killed", func(t *testing.T) { testRestart(t, s, web, unix.SIGKILL) })
	t.Run("all killed", func(t *testing.T) { testRestartOfAll(t, s, web) })
	t.Run("gone for long", func(t *testing.T) { testGone(t, s, web) })
	t.Run("the Node is not Ready", func(t *testing.T) { testNotReady(t, s, web) })
	t.Run("drained", func(t *testing.T) { testDrain(t, s, web) })
	t.Run("power cut", func(t *testing.T) { testPowerCut(t, s, l, web) })
	t.Run("API server away", func(t *testing.T) { testFailStatic(t, s, web) })
}

const passesMade = "belfry_speaker_pass_duration_seconds_count"

// plan returns what a node should say of its plan: the digest as anybody can work it out from the objects.
func (s *site) plan(n *node) *v1beta1.SpeakerPlan {
	s.t.Helper()
	var pools v1beta1.IPAddressPoolList
	var advertisements v1beta1.L2AdvertisementList
	var own corev1.Node
	must(s.t, errors.Join(api.List(context.Background(), &pools), api.List(context.Background(), &advertisements),
		api.Get(context.Background(), client.ObjectKey{Name: n.Name}, &own)))
	o := spec.Objects{Pools: pools.Items, L2Advertisements: advertisements.Items}
	config, _ := spec.Parse(o)
	return &v1beta1.SpeakerPlan{Digest: plan.Digest(o, plan.World{Config: config}, spec.ParseNode(&own))}
}

func testStatuses(t *testing.T, s *site, owner *node) {
	for _, n := range s.nodes {
		want := v1beta1.SpeakerStatusStatus{
			Version: "dev", State: "ready", Dataplane: "unknown",
			Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", MAC: n.mac(), Up: true, Subnets: []string{"10.77.0.0/24", "fe80::/64"}}},
			Members:    v1beta1.SpeakerMembers{Alive: 3},
		}
		if n == owner {
			want.L2 = v1beta1.SpeakerL2{
				Count: 1, Addresses: []string{"10.77.0.100"},
				Claims: []v1beta1.SpeakerClaim{{Epoch: 1, Addresses: []string{"10.77.0.100"}}},
			}
		}
		var diff string
		for end := n.status(); ; end = n.status() {
			want.Plan = s.plan(n)
			if end.Status.Plan != nil {
				want.Plan.Since = end.Status.Plan.Since
			}
			if meta.IsStatusConditionTrue(end.Status.Conditions, v1beta1.ConditionReady) {
				want.Conditions = end.Status.Conditions // one, with a time of its own
			}
			if diff = cmp.Diff(want, end.Status); diff == "" || t.Failed() {
				break
			}
			eventually(t, n.Name+"'s status changes; it differs by "+diff, func() bool {
				return n.status().ResourceVersion != end.ResourceVersion
			})
		}
		o := n.status()
		if len(o.OwnerReferences) != 1 || o.OwnerReferences[0].Kind != "Node" || o.OwnerReferences[0].Name != n.Name {
			t.Errorf("%s's status is owned by %v", n.Name, o.OwnerReferences)
		}
	}
}

// testNoWrites makes all speakers plan again, by labels of a Node that no selector asks for.
func testNoWrites(t *testing.T, s *site) {
	before := map[*node]v1beta1.SpeakerStatus{}
	for _, n := range s.nodes {
		before[n] = n.status()
	}
	for _, value := range []string{"1", "2", "3", "4", "5"} {
		made := map[*node]float64{}
		for _, n := range s.nodes {
			made[n] = n.metric(passesMade)
		}
		label(t, s.nodes[0].Name, value)
		for _, n := range s.nodes {
			eventually(t, n.Name+" has passed", func() bool { return n.metric(passesMade) > made[n] })
		}
	}
	for _, n := range s.nodes {
		if diff := cmp.Diff(before[n], n.status()); diff != "" {
			t.Errorf("%s wrote: %s", n.Name, diff)
		}
	}
}

func label(t *testing.T, node, value string) {
	t.Helper()
	o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"turn":"`+value+`"}}}`))
	must(t, api.Patch(context.Background(), o, patch))
}

func testDeletedStatus(t *testing.T, s *site) {
	old := s.nodes[0].status()
	must(t, api.Delete(context.Background(), &old))
	eventually(t, "the status is back", func() bool {
		now := s.nodes[0].status()
		is := meta.IsStatusConditionTrue(now.Status.Conditions, v1beta1.ConditionReady)
		now.Status.Conditions = old.Status.Conditions // but for the time
		return now.UID != old.UID && is && cmp.Equal(now.Status, old.Status)
	})
}

func testNotOurs(t *testing.T, s *site) {
	foreign, unmarked := speakertest.Service("foreign", "lan", "10.77.0.110"), speakertest.Service("unmarked", "lan", "10.77.0.111")
	class := "example.com/lb"
	foreign.Spec.LoadBalancerClass, unmarked.Annotations = &class, nil
	last := speakertest.Service("last", "lan", "10.77.0.112") // announced when the others have been seen
	for _, o := range []*corev1.Service{foreign, unmarked, last} {
		create(t, endpoints(o.Name, "n1"))
		create(t, o)
	}
	s.owner(netip.MustParseAddr("10.77.0.112"), s.nodes...)
	for _, a := range []string{"10.77.0.110", "10.77.0.111"} {
		if macs := s.asker.answers(netip.MustParseAddr(a)); len(macs) > 0 {
			t.Errorf("%v answer for %s", macs, a)
		}
	}
}

// testEdits follows a Service with externalTrafficPolicy Local to its pods, until the Service is gone.
func testEdits(t *testing.T, s *site) {
	a := netip.MustParseAddr("10.77.0.115")
	o, pods := speakertest.Service("local", "lan", a.String()), endpoints("local", "n1")
	o.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	create(t, pods)
	create(t, o)
	s.owner(a, s.nodes[0])
	other := "n2"
	pods.Endpoints[0].NodeName = &other
	must(t, api.Update(context.Background(), pods))
	s.owner(a, s.nodes[1])
	must(t, api.Delete(context.Background(), o))
	s.silent(a)
}

// testRestart ends the owner's speaker and starts it again: nothing moves. Whoever asks meanwhile is told the owner's
// hardware address, by another node.
func testRestart(t *testing.T, s *site, a netip.Addr, signal unix.Signal) {
	owner := s.owner(a, s.nodes...)
	w := s.asker.witness(a)
	if err := owner.Stop(signal); signal == unix.SIGTERM && err != nil {
		t.Errorf("the speaker of %s ended with %v", owner.Name, err)
	}
	s.owner(a, owner) // the process has ended: another node answers
	rest := s.but(owner)
	eventually(t, "a status tells who stands in", func() bool {
		return slices.ContainsFunc(rest, func(n *node) bool {
			in := n.status().Status.L2.StandIns
			return len(in) == 1 && in[0].Node == owner.Name
		})
	})
	for _, n := range rest { // its address waits for it: that is no news worth a write of each
		if m := n.status().Status.Members; m.Alive != 3 || len(m.Missing) > 0 {
			t.Errorf("%s's status has %+v while %s restarts", n.Name, m, owner.Name)
		}
	}
	owner.start()
	eventually(t, owner.Name+" is ready again", owner.ready)
	for _, n := range rest {
		eventually(t, n.Name+"'s status misses nobody", func() bool {
			return n.status().Status.Members.Alive == 3 && len(n.status().Status.L2.StandIns) == 0
		})
	}
	s.owner(a, owner)
	w.only(owner)
}

// testRestartOfAll: with nobody left who remembers, each speaker reads what it had in its SpeakerStatus.
func testRestartOfAll(t *testing.T, s *site, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	eventually(t, owner.Name+"'s status tells of the claim", func() bool { return len(owner.status().Status.L2.Claims) > 0 })
	w := s.asker.witness(a)
	for _, n := range s.nodes {
		_ = n.Stop(unix.SIGKILL)
	}
	owner.start()
	// It waits for the others and could report meanwhile that it has nothing.
	eventually(t, owner.Name+" has planned", func() bool {
		made, _, err := owner.Metric(passesMade)
		return err == nil && made >= 3
	})
	for _, n := range s.but(owner) {
		n.start()
	}
	for _, n := range s.nodes {
		eventually(t, n.Name+" is ready again", n.ready)
	}
	s.owner(a, owner)
	w.only(owner)
}

// testGone ends the owner's speaker for good: when its time is over another node takes the address, and keeps it when the
// first is back.
func testGone(t *testing.T, s *site, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	_ = owner.Stop(unix.SIGKILL)
	heir := s.owner(a, s.but(owner)...)
	for _, n := range s.but(owner) {
		eventually(t, n.Name+"'s status misses "+owner.Name, func() bool {
			m := n.status().Status.Members
			return m.Alive == 2 && slices.Equal(m.Missing, []string{owner.Name})
		})
	}
	owner.start()
	eventually(t, owner.Name+" is ready again", owner.ready)
	w := s.asker.witness(a)
	s.owner(a, heir)
	w.only(heir)
}

// testNotReady: what is wrong with a node's kubelet is nothing to its packets.
func testNotReady(t *testing.T, s *site, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	w := s.asker.witness(a)
	ready := func(is corev1.ConditionStatus) {
		o := owner.Object()
		o.Status.Conditions[0].Status = is
		must(t, api.Status().Patch(context.Background(), o, client.Merge))
	}
	made := map[*node]float64{}
	for _, n := range s.nodes {
		made[n] = n.metric(passesMade)
	}
	ready(corev1.ConditionUnknown)
	for _, n := range s.nodes {
		eventually(t, n.Name+" has seen it", func() bool { return n.metric(passesMade) > made[n] })
	}
	s.owner(a, owner)
	ready(corev1.ConditionTrue)
	w.only(owner)
}

// testDrain gives the address to another node: from the new owner's first word on nobody hears the old hardware address.
func testDrain(t *testing.T, s *site, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	w := s.asker.witness(a)
	annotate := func(value string) {
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: owner.Name}}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"belfry.dev/drain":`+value+`}}}`))
		must(t, api.Patch(context.Background(), o, patch))
	}
	annotate(`""`)
	heir := s.owner(a, s.but(owner)...)
	must(t, owner.Stop(unix.SIGTERM)) // drained: it leaves
	annotate("null")
	owner.start()
	eventually(t, owner.Name+" is ready again", owner.ready)
	s.owner(a, heir)
	w.moved(owner, heir)
}

// testPowerCut takes the owner off the network and its speaker away.
func testPowerCut(t *testing.T, s *site, l nettest.LAN, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	l.Down(owner.Name)
	_ = owner.Stop(unix.SIGKILL)
	s.owner(a, s.but(owner)...)
	l.Up(owner.Name)
	owner.start()
	eventually(t, owner.Name+" is ready again", owner.ready)
}

// testFailStatic takes the API server away, then the owner.
func testFailStatic(t *testing.T, s *site, a netip.Addr) {
	owner := s.owner(a, s.nodes...)
	rest := s.but(owner)
	s.api.cut()
	if c, err := owner.Dial(context.Background(), "tcp", api.Server); err == nil {
		_ = c.Close()
		t.Fatal("the API server can still be reached")
	}
	if now := s.owner(a, s.nodes...); now != owner {
		t.Errorf("%s answers instead of %s though only the API server is away", now.Name, owner.Name)
	}
	_ = owner.Stop(unix.SIGKILL)
	heir := s.owner(a, rest...) // after its time to come back
	s.api.mend()
	eventually(t, heir.Name+"'s status tells of the address", func() bool {
		return slices.Equal(heir.status().Status.L2.Addresses, []string{a.String()})
	})
	s.owner(a, heir)
}

// TestIPv6 has nodes without any IPv4 address, one of which waits for its port.
func TestIPv6(t *testing.T) {
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", "2001:db8::9/64")
	s.nodes = []*node{newNode(t, l, s.api, "v1", "2001:db8::1/64"), newNode(t, l, s.api, "v2", "2001:db8::2/64")}
	web := netip.MustParseAddr("2001:db8::100")
	create(t, speakertest.Pool("six", "2001:db8::100-2001:db8::1ff"))
	create(t, advertisement("six", "six"))
	create(t, endpoints6("web", "v1"))
	create(t, speakertest.Service("web", "six", web.String()))

	var held net.Listener
	must(t, s.nodes[1].Do(func() (err error) {
		held, err = net.Listen("tcp", "[2001:db8::2]:7947")
		return err
	}))
	for _, n := range s.nodes {
		create(t, n.Object())
		create(t, n.Pod())
		n.start()
	}
	s.owner(web, s.nodes[0])
	if s.nodes[1].ready() {
		t.Error("ready without a port")
	}
	must(t, held.Close())
	eventually(t, "v2 is ready", s.nodes[1].ready)
	owner := s.owner(web, s.nodes...)
	must(t, owner.Stop(unix.SIGTERM))
	s.owner(web, s.but(owner)...)
}
