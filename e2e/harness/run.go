package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Kubectl runs kubectl against the lab and returns what it printed.
func Kubectl(ctx context.Context, c *cluster.Cluster, stdin io.Reader, args ...string) (string, error) {
	cmd := KubectlCommand(ctx, c, args...)
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}

// KubectlCommand prepares kubectl against the lab.
func KubectlCommand(ctx context.Context, c *cluster.Cluster, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Binaries().Path("kubectl"), args...)
	cmd.Env = c.Env()
	return cmd
}

// Apply applies a manifest.
func Apply(ctx context.Context, c *cluster.Cluster, manifest string) error {
	_, err := Kubectl(ctx, c, strings.NewReader(manifest), "apply", "-f", "-")
	return err
}

// Helm runs the real helm, the one that tools/go.mod names, against the lab.
func Helm(ctx context.Context, c *cluster.Cluster, args ...string) error {
	_, err := render.HelmWith(ctx, c.Env(), args...)
	return err
}
