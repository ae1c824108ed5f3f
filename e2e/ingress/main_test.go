// Package ingress tests what people put behind an address: a real Ingress controller, Traefik, that answers for several
// backends at an address of Belfry.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 4 * time.Minute

// traefikImage is built from the module that traefik/go.mod pins.
const traefikImage = "localhost/traefik:1"

// The lab that all tests share, made by TestMain.
var (
	lab *cluster.Cluster
	k8s client.Client
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "ingress"}, prepare))
}

// prepare puts Belfry, Traefik and two backends into the lab.
func prepare(ctx context.Context, s *harness.Stage) error {
	lab, k8s = s.Lab, s.K8s
	program, err := cluster.BuildPinned(ctx, "e2e/ingress/traefik", "github.com/traefik/traefik/v3/cmd/traefik", os.Stderr)
	if err != nil {
		return err
	}
	if err := errors.Join(harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab), loadTraefik(ctx, program)); err != nil {
		return err
	}
	if err := installGatewayAPI(ctx); err != nil {
		return err
	}
	if err := harness.Install(ctx, lab, fmt.Sprintf("quickstart.addresses=%s-%s", lab.Addr4(240), lab.Addr4(250))); err != nil {
		return err
	}
	for _, manifest := range []string{harness.Web("first", 3), harness.Web("second", 3), traefik(), routes()} {
		if err := harness.Apply(ctx, lab, manifest); err != nil {
			return err
		}
	}
	for _, name := range []string{"first", "second", "traefik"} {
		if err := harness.AwaitDeployment(ctx, lab, "default", name); err != nil {
			return err
		}
	}
	return nil
}

func loadTraefik(ctx context.Context, program string) error {
	tar, err := cluster.BuildImage(cluster.ImageSpec{
		Name: traefikImage, Files: map[string]string{"/traefik": program}, Entrypoint: []string{"/traefik"}, User: "65532:65532",
	})
	if err != nil {
		return err
	}
	return lab.LoadImage(ctx, tar)
}
