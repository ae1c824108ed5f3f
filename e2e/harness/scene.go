package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Scene is what one test has: a context that ends, and shorthands that fail the test. Objects are in the namespace default.
type Scene struct {
	*testing.T
	*Stage
	Ctx context.Context
}

// NewScene begins a test; patience bounds its waits together and is no measurement. One that fails shows what Belfry has logged.
func NewScene(t *testing.T, stage *Stage, patience time.Duration) *Scene {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(stage.lastWords(context.Background()))
		}
	})
	return &Scene{t, stage, ctx}
}

// lastWords are the ends of the logs of Belfry's containers on all nodes.
func (s *Stage) lastWords(ctx context.Context) string {
	var words strings.Builder
	for n := range s.Lab.Nodes() {
		logs, err := s.Lab.ExecInside(ctx, n+1, "sh", "-c", "tail -n 100 /var/log/pods/"+Namespace+"_*/*/*.log")
		fmt.Fprintf(&words, "n%d:\n%s", n+1, logs)
		if err != nil { // it may be switched off
			fmt.Fprintln(&words, err)
		}
	}
	return words.String()
}

// Must ends the test on an error.
func (s *Scene) Must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Apply applies a manifest and takes it away when the test is over.
func (s *Scene) Apply(manifest string) {
	s.Helper()
	s.Must(Apply(s.Ctx, s.Lab, manifest))
	s.Cleanup(func() {
		if _, err := Kubectl(context.Background(), s.Lab, strings.NewReader(manifest), "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			s.Error(err)
		}
	})
}

// Kubectl runs kubectl and returns its output.
func (s *Scene) Kubectl(args ...string) string {
	s.Helper()
	out, err := Kubectl(s.Ctx, s.Lab, nil, args...)
	s.Must(err)
	return out
}

// Later does something when the test is over, with time of its own for it. A failure fails the test.
func (s *Scene) Later(patience time.Duration, do func(context.Context) error) {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("patience is over"))
		defer cancel()
		if err := do(ctx); err != nil {
			s.Error(err)
		}
	})
}

// Addresses waits until a Service has n addresses.
func (s *Scene) Addresses(name string, n int) []netip.Addr {
	s.Helper()
	addrs, err := AwaitAddresses(s.Ctx, s.K8s, InDefault(name), n)
	s.Must(err)
	return addrs
}

// AwaitRules waits until kube-proxy has written the rules of a Service with its addresses on all nodes that run. A node without
// them sends what comes for the address back to the LAN, and its connection tracking remembers that for two minutes: a later
// connection from the same port fares likewise.
func (s *Scene) AwaitRules(name string) {
	s.Helper()
	s.Eventually("kube-proxy to write the rules of "+name, func() error {
		var o corev1.Service
		if err := s.K8s.Get(s.Ctx, InDefault(name), &o); err != nil {
			return err
		}
		wanted := slices.Clone(o.Spec.ClusterIPs)
		for _, i := range o.Status.LoadBalancer.Ingress {
			wanted = append(wanted, i.IP)
		}
		for _, node := range s.Lab.Nodes() {
			if err := s.hasRules(node, wanted); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Scene) hasRules(node *cluster.Host, wanted []string) error {
	n, err := s.Lab.NodeByName(node.Name())
	if err != nil || !s.Lab.Running(n) {
		return err
	}
	rules, err := node.Exec(s.Ctx, "nft", "list", "ruleset") // those of iptables are among them
	if err != nil {
		return err
	}
	for _, ip := range wanted {
		if !bytes.Contains(rules, []byte(ip+" ")) && !bytes.Contains(rules, []byte(ip+"/")) {
			return fmt.Errorf("%s has none for %s", node.Name(), ip)
		}
	}
	return nil
}

// Eventually waits until check returns nil.
func (s *Scene) Eventually(what string, check func() error) {
	s.Helper()
	s.Must(Eventually(s.Ctx, what, func(context.Context) error { return check() }))
}

// Answer waits until the page at an address and port comes to a client on the LAN.
func (s *Scene) Answer(from *cluster.Host, a netip.Addr, port uint16) (answer string) {
	s.Helper()
	s.Eventually(fmt.Sprintf("%s port %d", a, port), func() (err error) {
		answer, err = Get(s.Ctx, from, netip.AddrPortFrom(a, port))
		return err
	})
	return answer
}

// Owner waits until exactly one of the nodes that run says that it announces the address, and returns its number. It may have
// changed when that is used: a node that is back takes its share half a minute later.
func (s *Scene) Owner(a netip.Addr) (node int) {
	s.Helper()
	s.Eventually("one announcer of "+a.String(), func() (err error) {
		node, err = s.owner(a)
		return err
	})
	return node
}

func (s *Scene) owner(a netip.Addr) (node int, err error) {
	owners, err := Owners(s.Ctx, s.K8s, a)
	if err != nil {
		return 0, err
	}
	owners = slices.DeleteFunc(owners, func(n string) bool {
		i, err := s.Lab.NodeByName(n)
		return err != nil || !s.Lab.Running(i)
	})
	if len(owners) != 1 {
		return 0, fmt.Errorf("announced by %v", owners)
	}
	return s.Lab.NodeByName(owners[0])
}

// AnnouncedByOwner waits until the Service says that the node announces the address which does.
func (s *Scene) AnnouncedByOwner(name string, a netip.Addr) {
	s.Helper()
	s.Eventually(name+" says who announces it", func() error {
		node, err := s.owner(a)
		if err != nil {
			return err
		}
		c, err := Condition(s.Ctx, s.K8s, InDefault(name), v1beta1.ConditionAnnounced)
		one, several := fmt.Sprintf("by node n%d", node), fmt.Sprintf("%s by node n%d", a, node)
		if err == nil && (c.Status != metav1.ConditionTrue || c.Message != one && !strings.Contains(c.Message, several)) {
			err = fmt.Errorf("n%d does, and it says %+v", node, c)
		}
		return err
	})
}

// OwnerAnswers waits until one station, and no more, answers for the address with ARP or NDP when that host asks: the node's
// that says it announces it. It returns which one that is.
func (s *Scene) OwnerAnswers(from *cluster.Host, a netip.Addr) (node int) {
	s.Helper()
	s.Eventually("the answer of who announces "+a.String(), func() (err error) {
		if node, err = s.owner(a); err != nil {
			return err
		}
		return s.answers(from, a, node)
	})
	return node
}

// OneAnswers is the same for a node that has the address and cannot lose it.
func (s *Scene) OneAnswers(from *cluster.Host, a netip.Addr, node int) {
	s.Helper()
	s.Eventually("the answer of one node for "+a.String(), func() error { return s.answers(from, a, node) })
}

func (s *Scene) answers(from *cluster.Host, a netip.Addr, node int) error {
	want, err := s.Lab.Node(node).MAC()
	if err != nil {
		return err
	}
	macs, err := WhoAnswers(s.Ctx, from, a)
	if err == nil && (len(macs) != 1 || macs[0].String() != want.String()) {
		err = fmt.Errorf("%v answer, want n%d with %s", macs, node, want)
	}
	return err
}

// MAC returns the hardware address of a node.
func (s *Scene) MAC(node int) string {
	s.Helper()
	mac, err := s.Lab.Node(node).MAC()
	s.Must(err)
	return mac.String()
}

// NextSpeaker returns a function that waits until the node has another speaker than now, and that one is ready.
func (s *Scene) NextSpeaker(node int) func(context.Context) error {
	s.Helper()
	name := fmt.Sprintf("n%d", node)
	before, _, err := SpeakerOf(s.Ctx, s.K8s, name)
	s.Must(err)
	return func(ctx context.Context) error {
		return Eventually(ctx, "a new speaker on "+name, func(ctx context.Context) error {
			id, ready, err := SpeakerOf(ctx, s.K8s, name)
			if err == nil && (id == before || !ready) {
				err = fmt.Errorf("container %s, before %s, ready %t", id, before, ready)
			}
			return err
		})
	}
}

// InDefault is an object's key in the namespace default.
func InDefault(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}
