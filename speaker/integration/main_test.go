// Package integration runs real speakers, each in a network namespace of its own, against a real API server. The
// neighbours on their LAN are the judges.
package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/belfry-lb/belfry/internal/kube"
)

// What TestMain makes for all tests; nobody changes it afterwards.
var (
	binary string // the program, built with the race detector
	config *rest.Config
	server string // host:port of the API server
	api    client.Client
)

// startTimeout is for machines that have much else to do; a start takes four seconds.
const startTimeout = 3 * time.Minute

func TestMain(m *testing.M) {
	code, err := withAPIServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "speaker/integration:", err)
		code = 1
	}
	os.Exit(code)
}

func withAPIServer(run func() int) (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("needs root: it makes network namespaces")
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 0, errors.New("KUBEBUILDER_ASSETS is not set, so there is no kube-apiserver: run make test-integration")
	}
	dir, err := os.MkdirTemp("", "belfry-speaker")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "belfry")
	if out, err := exec.Command("go", "build", "-race", "-o", binary, "../../cmd/belfry").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building belfry: %w\n%s", err, out)
	}
	env := envtest.Environment{
		CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: startTimeout,
	}
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.96.0.0/12") // of the default's size a benchmark needs forty
	if config, err = env.Start(); err != nil {
		return 0, fmt.Errorf("starting the API server: %w", errors.Join(err, env.Stop()))
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	u, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return 0, err
	}
	server = u.Host
	scheme, err := kube.NewScheme()
	if err != nil {
		return 0, err
	}
	if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	return run(), nil
}
