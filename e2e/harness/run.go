package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Root returns the top folder of the repository that the working folder is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && bytes.HasPrefix(b, []byte("module github.com/belfry-lb/belfry\n")) {
			return d, nil
		}
	}
	return "", fmt.Errorf("finding the repository: %s is not inside of it", dir)
}

// Kubectl runs kubectl against the lab and returns what it printed.
func Kubectl(ctx context.Context, c *cluster.Cluster, stdin io.Reader, args ...string) (string, error) {
	return run(ctx, c.Env(), stdin, c.Binaries().Path("kubectl"), args...)
}

// Apply applies a manifest.
func Apply(ctx context.Context, c *cluster.Cluster, manifest string) error {
	_, err := Kubectl(ctx, c, strings.NewReader(manifest), "apply", "-f", "-")
	return err
}

// Helm runs the real helm, the one that tools/go.mod names, against the lab and returns what it printed.
func Helm(ctx context.Context, c *cluster.Cluster, args ...string) (string, error) {
	path, err := helm(ctx)
	if err != nil {
		return "", err
	}
	return run(ctx, c.Env(), nil, path, args...)
}

// helm returns the path of helm: what BELFRY_HELM says, or, outside of make, one that is built now.
func helm(ctx context.Context) (string, error) {
	if path := os.Getenv("BELFRY_HELM"); path != "" {
		return path, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "tools")
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, "tools"), "-o", dir+"/", "helm.sh/helm/v3/cmd/helm")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building helm: %w: %s", err, out)
	}
	return filepath.Join(dir, "helm"), nil
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
