package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// viewer is a user who may do what the ClusterRole belfry-viewer allows and nothing else.
const viewer = "belfry-e2e-viewer"

// Plugin is kubectl belfry.
type Plugin struct {
	program string
	lab     *cluster.Cluster
}

// BuildPlugin builds it from this tree and makes a user who may only look.
func BuildPlugin(ctx context.Context, c *cluster.Cluster) (*Plugin, error) {
	root, err := render.Root()
	if err != nil {
		return nil, err
	}
	program, err := cluster.BuildBinary(ctx, filepath.Join(root, "cmd", "kubectl-belfry"), "-X", "main.version=lab")
	if err != nil {
		return nil, fmt.Errorf("building kubectl-belfry: %w", err)
	}
	err = Apply(ctx, c, fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s-viewer}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %[1]s}]
`, viewer, Release))
	return &Plugin{program, c}, err
}

// Look returns the command as a user runs it who may only look.
func (p *Plugin) Look(ctx context.Context, args ...string) *exec.Cmd {
	return p.Do(ctx, append(args, "--as="+viewer, "--as-group=system:authenticated")...)
}

// Do returns the command as the administrator of the cluster runs it.
func (p *Plugin) Do(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env = p.lab.Env()
	return cmd
}

// Output runs a command of the plugin and returns what it printed and how it ended. A failure that is no exit code is an
// error.
func Output(cmd *exec.Cmd) (out string, code int, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return stdout.String() + stderr.String(), exit.ExitCode(), nil
	}
	return stdout.String() + stderr.String(), 0, err
}
