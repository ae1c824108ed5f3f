package speaker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

const packagesEnv = "BELFRY_ROUTER_PACKAGES"

// api is made by TestMain for all tests; nobody changes it afterwards.
var api speakertest.API

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(router.Sandbox(fetch, func() int {
		ctrl.SetLogger(logr.Discard())
		// Nodes come by cable.
		code, err := speakertest.Run(raced, map[string]string{"bind-address": "0.0.0.0", "advertise-address": "127.0.0.1"}, func(a speakertest.API) int {
			api = a
			return m.Run()
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e/speaker:", err)
			return 1
		}
		return code
	}))
}

// fetch gets what the sandbox cannot reach.
func fetch() ([]string, error) {
	ctx := context.Background()
	packages, err := cluster.Packages(ctx, os.Stderr, "frr", "bird2")
	if err != nil {
		return nil, err
	}
	binaries, err := cluster.BuildBinaries(ctx, "", os.Stderr)
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("go", "list", "-deps", "../../cmd/belfry").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("downloading the program's modules: %w: %s", err, out)
	}
	return []string{packagesEnv + "=" + packages, "KUBEBUILDER_ASSETS=" + binaries.Dir}, nil
}
