package harness

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Where Belfry is installed, and which image.
const (
	Namespace = render.Namespace
	Release   = render.Release
	repo      = "localhost/belfry"
	tag       = "lab"
)

// BuildImage builds the product from this tree into an image and loads it into every node of the lab.
func BuildImage(ctx context.Context, c *cluster.Cluster) error {
	return BuildImageAs(ctx, c, repo+":"+tag)
}

// BuildImageAs is BuildImage with a name of the caller's choice.
func BuildImageAs(ctx context.Context, c *cluster.Cluster, name string) error {
	root, err := render.Root()
	if err != nil {
		return err
	}
	program, err := cluster.BuildBinary(ctx, filepath.Join(root, "cmd", "belfry"), "-s", "-w", "-X", "main.version=lab")
	if err != nil {
		return fmt.Errorf("building belfry: %w", err)
	}
	return LoadProgram(ctx, c, name, program)
}

// LoadProgram puts a program of ours into an image and loads it into every node of the lab.
func LoadProgram(ctx context.Context, c *cluster.Cluster, name, program string) error {
	tar, err := cluster.BuildImage(cluster.ImageSpec{
		Name: name, Files: map[string]string{"/belfry": program}, Entrypoint: []string{"/belfry"}, User: "65532:65532",
	})
	if err != nil {
		return fmt.Errorf("building the image: %w", err)
	}
	return c.LoadImage(ctx, tar)
}

// BuildWebImage builds the lab's web server and loads it into every node.
func BuildWebImage(ctx context.Context, c *cluster.Cluster) error {
	tar, err := cluster.BuildWebImage(ctx)
	if err != nil {
		return fmt.Errorf("building the web image: %w", err)
	}
	return c.LoadImage(ctx, tar)
}

// Install installs the chart with helm, as a user would, and returns when its Pods are ready. Each set is a value, as in
// `helm install --set`.
func Install(ctx context.Context, c *cluster.Cluster, set ...string) error {
	args := []string{"upgrade", "--install", Release, "charts/belfry", "--namespace", Namespace, "--create-namespace", "--wait", "--timeout", "3m"}
	args = append(args, ImageFlags()...)
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return Helm(ctx, c, args...)
}

// ImageFlags are those by which helm installs the image that BuildImage has made.
func ImageFlags() []string {
	return []string{"--set", "image.repository=" + repo, "--set", "image.tag=" + tag, "--set", "image.pullPolicy=Never"}
}

// PoolManifest is a pool of ten addresses of either family on the lab's LAN and an advertisement for it: the samples of
// config/samples with the lab's own addresses.
func PoolManifest(c *cluster.Cluster, name string, from, to int) string {
	return fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata:
  name: %[1]s
spec:
  addresses:
    - %[2]s-%[3]s
    - %[4]s-%[5]s
---
apiVersion: belfry.dev/v1beta1
kind: L2Advertisement
metadata:
  name: %[1]s
spec:
  ipAddressPools: [%[1]s]
`, name, c.Addr4(from), c.Addr4(to), c.Addr6(from), c.Addr6(to))
}
