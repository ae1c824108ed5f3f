package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/belfry-lb/belfry/internal/cli"
	"github.com/belfry-lb/belfry/internal/kube"
)

// lab is the one API server that all tests of the package share.
type lab struct {
	client     client.Client
	kubeconfig string
	turn       chan struct{} // holds a token while a script has the API server for itself
}

var shared lab

func TestMain(m *testing.M) {
	testscript.Main(withServer{m}, map[string]func(){"belfry": belfry, "kubectl-belfry": belfry})
}

// belfry is the plugin as a program.
func belfry() {
	ctrl.SetLogger(logr.Discard())
	root := cli.New(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, "v1.2.3")
	err := root.ExecuteContext(context.Background())
	code, tell := cli.ExitCode(err)
	if tell {
		fmt.Fprintln(os.Stderr, "kubectl belfry:", err)
	}
	os.Exit(code)
}

// withServer runs the tests while an API server runs.
type withServer struct{ m *testing.M }

func (w withServer) Run() int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run `make test-integration`, which builds kube-apiserver and etcd and sets it")
		return 1
	}
	ctrl.SetLogger(logr.Discard())
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	env.ControlPlane.GetAPIServer().Configure().
		Set("service-cluster-ip-range", "10.96.0.0/12,fd00:96::/108").
		Set("disable-admission-plugins", "ServiceAccount")
	env.ControlPlane.Etcd = &envtest.Etcd{}
	env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true")
	if err := serve(env); err != nil {
		fmt.Fprintln(os.Stderr, "starting kube-apiserver and etcd:", err)
		return 1
	}
	defer func() { _ = env.Stop() }()
	defer os.Remove(shared.kubeconfig)
	return w.m.Run()
}

func serve(env *envtest.Environment) error {
	cfg, err := env.Start()
	if err != nil {
		return err
	}
	scheme, err := kube.NewScheme()
	if err != nil {
		return err
	}
	cfg.QPS = -1
	shared.turn = make(chan struct{}, 1)
	if shared.client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	f, err := os.CreateTemp("", "belfry-kubeconfig-")
	if err != nil {
		return err
	}
	shared.kubeconfig = f.Name()
	if _, err := f.Write(env.KubeConfig); err != nil {
		return err
	}
	return f.Close()
}
