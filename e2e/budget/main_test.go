package budget

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 4 * time.Minute

// stage is what all tests share: a lab with the chart installed, and web servers.
var stage *harness.Stage

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "budget", Routers: 1}, prepare))
}

func prepare(ctx context.Context, s *harness.Stage) error {
	stage = s
	return s.Prepare(
		harness.Step{What: "building the images and loading them into the nodes", Do: func() error {
			return errors.Join(harness.BuildImage(ctx, s.Lab), harness.BuildWebImage(ctx, s.Lab))
		}},
		harness.Step{What: "fetching FRR", Do: func() error { return harness.FetchFRR(ctx) }},
		harness.Step{What: "installing the chart", Do: func() error {
			// A busy machine may take long to start a container: what is counted is a restart for which addresses wait.
			return harness.Install(ctx, s.Lab, "speaker.restartWindow=60s")
		}},
		harness.Step{What: "starting the web servers", Do: func() error {
			err := harness.Apply(ctx, s.Lab, harness.PoolManifest(s.Lab, "lan", 200, 239)+"---\n"+harness.Web("web", 3))
			return errors.Join(err, harness.AwaitDeployment(ctx, s.Lab, "default", "web"))
		}},
	)
}
