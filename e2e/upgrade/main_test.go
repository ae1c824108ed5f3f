package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// The release to begin with, installed by TestMain.
var (
	stage *harness.Stage
	base  string // tag or commit
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, cluster.Options{Name: "upgrade", Clients: 2, Routers: 1}, prepare))
}

const baseImage = "localhost/belfry:base"

// unhurried are values by which addresses wait longer than by default for a speaker that restarts, or that has no CPU for a
// while: what is tried here is that nothing moves, not how fast a busy machine starts a container.
func unhurried() []string {
	return []string{"--set", "speaker.restartWindow=60s", "--set", "speaker.failover=relaxed"}
}

func prepare(ctx context.Context, s *harness.Stage) error {
	stage = s
	dir, err := os.MkdirTemp("", "belfry-base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var program string
	return s.Prepare(
		harness.Step{What: "building the release to begin with", Do: func() (err error) {
			base, program, err = checkOut(ctx, dir)
			return err
		}},
		harness.Step{What: "fetching FRR", Do: func() error { return harness.FetchFRR(ctx) }},
		harness.Step{What: "building the images and loading them into the nodes", Do: func() error {
			return errors.Join(harness.LoadProgram(ctx, s.Lab, baseImage, program), harness.BuildImage(ctx, s.Lab), harness.BuildWebImage(ctx, s.Lab))
		}},
		harness.Step{What: "installing the release to begin with", Do: func() error {
			args := []string{"install", harness.Release, filepath.Join(dir, "charts", "belfry"), "--create-namespace",
				"--set", "image.repository=localhost/belfry", "--set", "image.tag=base", "--set", "image.pullPolicy=Never"}
			return helm(ctx, append(args, unhurried()...)...)
		}},
	)
}

// helm changes the release, and returns when all of its Pods are ready.
func helm(ctx context.Context, args ...string) error {
	return harness.Helm(ctx, stage.Lab, append(args, "--namespace", harness.Namespace, "--wait", "--timeout", "10m")...)
}
