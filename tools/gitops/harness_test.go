package gitops

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/belfry-lb/belfry/charts/render"
)

// How long something may take that comes by itself, and how often one looks.
const (
	patience = time.Minute
	interval = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(klog.Background())
	os.Exit(m.Run())
}

// cluster is an API server with nothing in it.
type cluster struct {
	cfg        *rest.Config
	client     client.Client
	kubeconfig string // an administrator's
}

func start(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test-gitops")
	}
	env := &envtest.Environment{}
	env.ControlPlane.Etcd = &envtest.Etcd{}
	env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true")
	cfg, err := env.Start()
	if err != nil {
		t.Fatalf("starting the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	cfg.QPS = -1
	c, err := client.New(cfg, client.Options{Scheme: scheme.Scheme})
	must(t, err)
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	must(t, err)
	b, err := admin.KubeConfig()
	must(t, err)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, b, 0o600))
	return &cluster{cfg, c, kubeconfig}
}

func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	must(t, c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// controller runs the program of the sources, until the test is over: what the Deployment would, had the cluster nodes.
func (c *cluster) controller(t *testing.T) {
	t.Helper()
	root, err := render.Root()
	must(t, err)
	program := filepath.Join(t.TempDir(), "belfry")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/belfry")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the controller: %v: %s", err, out)
	}
	ctx, stop := context.WithCancel(context.Background())
	run := exec.CommandContext(ctx, program, "controller", "--kubeconfig", c.kubeconfig, "--namespace", render.Namespace,
		"--metrics-address", "0", "--health-address", "0")
	var log bytes.Buffer
	run.Stdout, run.Stderr = &log, &log
	must(t, run.Start())
	t.Cleanup(func() {
		stop()
		_ = run.Wait() // it was killed
		if t.Failed() {
			t.Logf("the controller said:\n%s", log.Bytes())
		}
	})
}

func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(ctx context.Context) (bool, error) {
		last = f(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
