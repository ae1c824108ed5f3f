// Package install tests, on a real cluster, how Belfry is installed, used for the first time, upgraded and removed.
package install

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 4 * time.Minute

// The lab that all tests share, made by TestMain. Nothing is installed in it.
var (
	lab *cluster.Cluster
	k8s client.Client
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "install"}, func(ctx context.Context, s *harness.Stage) error {
		lab, k8s = s.Lab, s.K8s
		return errors.Join(harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab))
	}))
}

// within returns a context that ends with the test, or when patience does.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	return ctx
}

// helm runs the real helm in the release's namespace.
func helm(ctx context.Context, args ...string) (string, error) {
	out, err := render.HelmWith(ctx, lab.Env(), append(args, "--namespace", harness.Namespace)...)
	return string(out), err
}

func kubectl(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, err := harness.Kubectl(ctx, lab, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// clean removes the release or manifest and everything that outlives it, so that the next test begins on a cluster that has
// never seen Belfry.
func clean(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if _, err := helm(ctx, "uninstall", harness.Release, "--ignore-not-found", "--wait"); err != nil {
		t.Error(err)
	}
	kubectl(ctx, t, "delete", "namespace", harness.Namespace, "--ignore-not-found")
	const kinds = "crds,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
	for o := range strings.FieldsSeq(kubectl(ctx, t, "get", kinds, "-o", "name")) {
		if strings.Contains(o, "belfry") {
			kubectl(ctx, t, "delete", o)
		}
	}
}
