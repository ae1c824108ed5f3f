package l2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

const (
	patience = 5 * time.Minute // bounds the waits of one test; it is no measurement
	services = 4               // each with an address of either family
	home     = 3               // the node with the pods
)

// stage is shared by all tests; TestMain sets it.
var stage *harness.Stage

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "l2", Clients: 2}, prepare))
}

func prepare(ctx context.Context, s *harness.Stage) error {
	stage = s
	return s.Prepare(
		harness.Step{What: "building the images and loading them into the nodes", Do: func() error {
			return errors.Join(harness.BuildImage(ctx, s.Lab), harness.BuildWebImage(ctx, s.Lab))
		}},
		harness.Step{What: "installing the chart", Do: func() error { return install(ctx, s, "relaxed") }},
		harness.Step{What: "starting the web servers", Do: func() error {
			manifest := harness.PoolManifest(s.Lab, "lan", 200, 219) + "---\n" + harness.Web("web", 2, atHome())
			for i := range services {
				manifest += "---\n" + harness.Service(name(i), "web", "ipFamilyPolicy: RequireDualStack", 80, 7000)
			}
			return errors.Join(harness.Apply(ctx, s.Lab, manifest), harness.AwaitDeployment(ctx, s.Lab, "default", "web"))
		}},
	)
}

// install takes a failover profile. These tests hold on a machine that is busy with something else, where a speaker may not
// run for a second, and its container may take long to start: relaxed forgives the one, a long window the other. How fast it
// goes is for the series to show, in the other profiles.
func install(ctx context.Context, s *harness.Stage, failover string) error {
	window := "10s" // the chart's own
	if failover == "relaxed" {
		window = "60s"
	}
	return harness.Install(ctx, s.Lab, "speaker.failover="+failover, "speaker.restartWindow="+window)
}

func name(i int) string { return fmt.Sprintf("s%d", i) }

// atHome keeps pods where no test cuts the power.
func atHome() string { return fmt.Sprintf("nodeSelector: {kubernetes.io/hostname: n%d}", home) }

// atRest waits until all nodes run and their speakers are ready and know each other.
func atRest(ctx context.Context, s *harness.Stage) error {
	return harness.Eventually(ctx, "rest", func(ctx context.Context) error {
		var list v1beta1.SpeakerStatusList
		if err := s.K8s.List(ctx, &list); err != nil {
			return err
		}
		if len(list.Items) != len(s.Lab.Nodes()) {
			return fmt.Errorf("%d speakers", len(list.Items))
		}
		for _, o := range list.Items {
			t := o.Status
			if t.State != "ready" || t.Dataplane != "healthy" || int(t.Members.Alive) != len(list.Items) || len(t.L2.StandIns) > 0 {
				return fmt.Errorf("%s: %s, dataplane %s, %d alive, stand-ins %v", o.Name, t.State, t.Dataplane, t.Members.Alive, t.L2.StandIns)
			}
			if _, ready, err := harness.SpeakerOf(ctx, s.K8s, o.Name); err != nil || !ready {
				return errors.Join(err, fmt.Errorf("the speaker of %s is not ready", o.Name))
			}
		}
		return nil
	})
}

// nodes of the lab, by number.
func nodes() []int { return []int{1, 2, 3} }

// others than one.
func others(than int) []int {
	return slices.DeleteFunc(nodes(), func(n int) bool { return n == than })
}
