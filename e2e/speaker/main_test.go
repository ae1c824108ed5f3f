package speaker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/kube"
)

const packagesEnv = "BELFRY_ROUTER_PACKAGES"

// What TestMain makes for all tests; nobody changes it afterwards.
var (
	program string // the program
	config  *rest.Config
	api     client.Client
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(router.Sandbox(fetch, func() int {
		code, err := withAPIServer(m.Run)
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

func withAPIServer(run func() int) (code int, err error) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "belfry-e2e")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program = filepath.Join(dir, "belfry")
	args := []string{"build", "-o", program, "../../cmd/belfry"}
	if raced {
		args = append([]string{"build", "-race"}, args[1:]...)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building belfry: %w\n%s", err, out)
	}
	env := envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true, ControlPlaneStartTimeout: 3 * patience}
	flags := env.ControlPlane.GetAPIServer().Configure()
	flags.Set("bind-address", "0.0.0.0") // nodes come by cable
	flags.Set("advertise-address", "127.0.0.1")
	flags.Set("service-cluster-ip-range", "10.96.0.0/12")
	if config, err = env.Start(); err != nil {
		return 0, fmt.Errorf("starting the API server: %w", errors.Join(err, env.Stop()))
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	scheme, err := kube.NewScheme()
	if err != nil {
		return 0, err
	}
	fast := rest.CopyConfig(config)
	fast.QPS = -1
	if api, err = client.New(fast, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	return run(), nil
}

// serverPort is the API server's.
func serverPort() (string, error) {
	u, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(u.Host)
	return port, err
}
