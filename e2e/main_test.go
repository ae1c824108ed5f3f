package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 2 * time.Minute

// The lab that all tests share, made by TestMain.
var (
	stage *harness.Stage
	lab   *cluster.Cluster
	k8s   client.Client
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "e2e", Clients: 2, Routers: 2}, prepare))
}

func prepare(ctx context.Context, s *harness.Stage) error {
	stage, lab, k8s = s, s.Lab, s.K8s
	return s.Prepare(
		harness.Step{What: "building the images and loading them into the nodes", Do: func() error {
			return errors.Join(harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab))
		}},
		harness.Step{What: "fetching FRR and a browser", Do: func() error { return errors.Join(harness.FetchFRR(ctx), harness.FetchBrowser(ctx)) }},
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

// scene is a harness.Scene with shorthands for the client that most tests ask from.
type scene struct{ *harness.Scene }

func newScene(t *testing.T) *scene {
	t.Helper()
	return &scene{harness.NewScene(t, stage, patience)}
}

// service applies harness.Service and returns its addresses, n of them, when every node leads them to it: they may have been
// another's a moment ago.
func (s *scene) service(n int, name, app, extra string, ports ...int) []netip.Addr {
	s.Helper()
	s.Apply(harness.Service(name, app, extra, ports...))
	defer s.AwaitRules(name)
	return s.Addresses(name, n)
}

// get fetches the page at an address and port from a client on the LAN.
func (s *scene) get(from *cluster.Host, a netip.Addr, port int) (string, error) {
	return harness.Get(s.Ctx, from, netip.AddrPortFrom(a, uint16(port)))
}

// answer waits until the page comes.
func (s *scene) answer(a netip.Addr, port int) string {
	s.Helper()
	return s.Answer(lab.Client(1), a, uint16(port))
}

// ownerAnswers waits until one station, and no more, answers for the address with ARP or NDP: the node's that announces it.
func (s *scene) ownerAnswers(a netip.Addr) (node int) {
	s.Helper()
	return s.OwnerAnswers(lab.Client(1), a)
}

// silent waits until nobody answers for the address.
func (s *scene) silent(a netip.Addr) {
	s.Helper()
	s.Eventually("silence of "+a.String(), func() error {
		macs, err := harness.WhoAnswers(s.Ctx, lab.Client(1), a)
		if errors.Is(err, harness.ErrSilent) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%v answer", macs))
	})
}
