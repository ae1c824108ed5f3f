package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Kubectl runs kubectl against the lab and returns what it printed.
func Kubectl(ctx context.Context, c *cluster.Cluster, stdin io.Reader, args ...string) (string, error) {
	return run(ctx, c.Env(), stdin, c.Binaries().Path("kubectl"), args...)
}

// Apply applies a manifest.
func Apply(ctx context.Context, c *cluster.Cluster, manifest string) error {
	_, err := Kubectl(ctx, c, strings.NewReader(manifest), "apply", "-f", "-")
	return err
}

// Helm runs the real helm, the one that tools/go.mod names, against the lab.
func Helm(ctx context.Context, c *cluster.Cluster, args ...string) error {
	_, err := render.Helm(ctx, append(args, "--kubeconfig", c.Kubeconfig())...)
	return err
}

func run(ctx context.Context, env []string, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = env, stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running %s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
