package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 2 * time.Minute

// The lab that all tests share, made by TestMain.
var (
	lab *cluster.Cluster
	k8s client.Client
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "e2e", Clients: 2, Routers: 2}, prepare))
}

func prepare(ctx context.Context, s *harness.Stage) error {
	lab, k8s = s.Lab, s.K8s
	return harness.Steps(
		harness.Step{What: "building the images and loading them into the nodes", Do: func() error {
			return errors.Join(harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab))
		}},
		harness.Step{What: "installing the chart", Do: func() error { return harness.Install(ctx, lab) }},
		harness.Step{What: "building the plugin", Do: func() error {
			_, err := harness.BuildPlugin(ctx, lab)
			return err
		}},
		harness.Step{What: "starting the web servers", Do: func() error {
			err := harness.Apply(ctx, lab, harness.PoolManifest(lab, "lan", 200, 239)+"---\n"+harness.Web("web", 3))
			return errors.Join(err, harness.AwaitDeployment(ctx, lab, "default", "web"))
		}},
	)
}

// scene is what one test has: a context that ends, and shorthands that fail the test.
type scene struct {
	*testing.T
	ctx context.Context
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	return &scene{t, ctx}
}

// must ends the test on an error.
func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// apply applies a manifest and takes it away when the test is over.
func (s *scene) apply(manifest string) {
	s.Helper()
	s.must(harness.Apply(s.ctx, lab, manifest))
	s.Cleanup(func() {
		if _, err := harness.Kubectl(context.Background(), lab, strings.NewReader(manifest), "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			s.Error(err)
		}
	})
}

// kubectl runs kubectl and returns its output.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	out, err := harness.Kubectl(s.ctx, lab, nil, args...)
	s.must(err)
	return out
}

// service applies harness.Service and returns its addresses, n of them.
func (s *scene) service(n int, name, app, extra string, ports ...int) []netip.Addr {
	s.Helper()
	s.apply(harness.Service(name, app, extra, ports...))
	return s.addresses(name, n)
}

func (s *scene) addresses(name string, n int) []netip.Addr {
	s.Helper()
	addrs, err := harness.AwaitAddresses(s.ctx, k8s, inDefault(name), n)
	s.must(err)
	return addrs
}

// eventually waits until check returns nil.
func (s *scene) eventually(what string, check func() error) {
	s.Helper()
	s.must(harness.Eventually(s.ctx, what, func(context.Context) error { return check() }))
}

// get fetches the page at an address and port from a client on the LAN.
func (s *scene) get(from *cluster.Host, a netip.Addr, port int) (string, error) {
	return harness.Get(s.ctx, from, netip.AddrPortFrom(a, uint16(port)))
}

// answer waits until the page comes.
func (s *scene) answer(a netip.Addr, port int) (answer string) {
	s.Helper()
	s.eventually(fmt.Sprintf("%s port %d", a, port), func() (err error) {
		answer, err = s.get(lab.Client(1), a, port)
		return err
	})
	return answer
}

// owner waits until exactly one of the nodes that run says that it announces the address, and returns its number.
func (s *scene) owner(a netip.Addr) (node int) {
	s.Helper()
	s.eventually("one announcer of "+a.String(), func() error {
		owners, err := harness.Owners(s.ctx, k8s, a)
		if err != nil {
			return err
		}
		owners = slices.DeleteFunc(owners, func(n string) bool {
			i, err := lab.NodeByName(n)
			return err != nil || !lab.Running(i)
		})
		if len(owners) != 1 {
			return fmt.Errorf("announced by %v", owners)
		}
		node, err = lab.NodeByName(owners[0])
		return err
	})
	return node
}

// announcedBy waits until the Service says that the node announces the address.
func (s *scene) announcedBy(name string, a netip.Addr, node int) {
	s.Helper()
	s.eventually(name+" says who announces it", func() error {
		c, err := harness.Condition(s.ctx, k8s, inDefault(name), v1beta1.ConditionAnnounced)
		one, several := fmt.Sprintf("by node n%d", node), fmt.Sprintf("%s by node n%d", a, node)
		if err == nil && (c.Status != metav1.ConditionTrue || c.Message != one && !strings.Contains(c.Message, several)) {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
}

// oneAnswers waits until one station, and no more, answers for the address with ARP or NDP: that node's.
func (s *scene) oneAnswers(a netip.Addr, node int) {
	s.Helper()
	want, err := lab.Node(node).MAC()
	s.must(err)
	s.eventually("the answer of one node for "+a.String(), func() error {
		macs, err := harness.WhoAnswers(s.ctx, lab.Client(1), a)
		if err == nil && (len(macs) != 1 || macs[0].String() != want.String()) {
			err = fmt.Errorf("%v answer, want n%d with %s", macs, node, want)
		}
		return err
	})
}

// silent waits until nobody answers for the address.
func (s *scene) silent(a netip.Addr) {
	s.Helper()
	s.eventually("silence of "+a.String(), func() error {
		macs, err := harness.WhoAnswers(s.ctx, lab.Client(1), a)
		if errors.Is(err, harness.ErrSilent) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%v answer", macs))
	})
}

func inDefault(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}
