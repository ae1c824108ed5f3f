//go:build linux

// Package speakertest runs the speaker's program on hosts of internal/nettest, against a real API server that holds what the
// controller and kubelets would have written.
package speakertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/belfry-lb/belfry/internal/kube"
)

// Namespace is Belfry's.
const Namespace = "belfry-system"

// startTimeout is for machines that have much else to do; a start takes four seconds.
const startTimeout = 3 * time.Minute

// API is an API server that knows Belfry's kinds, and a client of it.
type API struct {
	client.Client
	Config  *rest.Config
	Server  string // its host:port
	Program string // the path of belfry
}

// Run is for TestMain of a package two folders below the module's: it builds belfry, with the race detector or without, and starts
// an API server with these flags besides its own for as long as f runs. KUBEBUILDER_ASSETS says where the server's program is.
func Run(raced bool, flags map[string]string, f func(API) int) (code int, err error) {
	dir, err := os.MkdirTemp("", "belfry-speaker")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "belfry")
	if err := Build(program, raced); err != nil {
		return 0, err
	}
	env := envtest.Environment{
		CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: startTimeout,
	}
	all := env.ControlPlane.GetAPIServer().Configure()
	all.Set("service-node-port-range", "20000-60000")   // each Service that is Local has one for its health check
	all.Set("service-cluster-ip-range", "10.96.0.0/12") // of the default's size a benchmark needs forty
	for flag, value := range flags {
		all.Set(flag, value)
	}
	config, err := env.Start()
	defer func() { err = errors.Join(err, env.Stop()) }()
	if err != nil {
		return 0, fmt.Errorf("starting the API server: %w", err)
	}
	api, err := connect(config)
	if err != nil {
		return 0, err
	}
	api.Program = program
	return f(api), nil
}

// Build makes the program belfry at path.
func Build(path string, raced bool) error {
	out, err := exec.Command("go", "build", "-tags", "grpcnotrace", fmt.Sprintf("-race=%t", raced), "-o", path, "../../cmd/belfry").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building belfry: %w\n%s", err, out)
	}
	return nil
}

func connect(config *rest.Config) (API, error) {
	scheme, err := kube.NewScheme()
	if err != nil {
		return API{}, err
	}
	u, err := url.Parse(config.Host)
	if err != nil {
		return API{}, err
	}
	fast := rest.CopyConfig(config)
	fast.QPS = -1
	c, err := client.New(fast, client.Options{Scheme: scheme})
	return API{Client: c, Config: config, Server: u.Host}, err
}

// Kubeconfig writes one for a client that reaches the API server at an address of its own, host:port, and returns its path.
func (a API) Kubeconfig(t testing.TB, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	k := clientcmdapi.NewConfig()
	k.Clusters["envtest"] = &clientcmdapi.Cluster{
		Server: "https://" + server, TLSServerName: "localhost", CertificateAuthorityData: a.Config.CAData,
	}
	k.AuthInfos["envtest"] = &clientcmdapi.AuthInfo{ClientCertificateData: a.Config.CertData, ClientKeyData: a.Config.KeyData}
	k.Contexts["envtest"] = &clientcmdapi.Context{Cluster: "envtest", AuthInfo: "envtest"}
	k.CurrentContext = "envtest"
	must(t, errors.Join(clientcmd.WriteToFile(*k, path), os.Chmod(path, 0o600)))
	return path
}

// Put makes an object, with its status, and takes it away after the test.
func (a API) Put(t testing.TB, o client.Object) {
	t.Helper()
	ctx := context.Background()
	withStatus := o.DeepCopyObject().(client.Object)
	must(t, a.Create(ctx, o))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(a.Delete(ctx, o, client.GracePeriodSeconds(0)))) })
	switch withStatus.(type) {
	case *corev1.Node, *corev1.Pod, *corev1.Service:
		withStatus.SetResourceVersion(o.GetResourceVersion())
		must(t, a.Status().Patch(ctx, withStatus, client.Merge))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
