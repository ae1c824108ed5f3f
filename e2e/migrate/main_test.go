package migrate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

var (
	keep    = flag.Bool("keep", false, "leave the lab running, to look at it")
	labName = flag.String("lab", "migrate", "name of the lab: two may run at once under two names")
)

// patience bounds the wait for anything; it is no measurement.
const patience = 8 * time.Minute

// oldImage is what the old speakers run.
const oldImage = "localhost/oldspeaker:1"

// The lab that all tests share, made by TestMain: three nodes, a router before them, a client behind it.
var (
	lab    *cluster.Cluster
	k8s    client.Client
	plugin *harness.Plugin
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lab, err = cluster.Start(ctx, cluster.Options{Name: *labName, Routers: 1, Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	if !*keep {
		defer func() { err = errors.Join(err, lab.Down(context.WithoutCancel(ctx))) }()
	}
	if k8s, err = harness.Client(lab); err != nil {
		return 1, err
	}
	if err := errors.Join(harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab), buildOldSpeaker(ctx), harness.FetchFRR(ctx)); err != nil {
		return 1, err
	}
	if err := harness.Install(ctx, lab); err != nil {
		return 1, err
	}
	if plugin, err = harness.BuildPlugin(ctx, lab); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// buildOldSpeaker puts the stand-in into an image, with BIRD and the libraries that it needs.
func buildOldSpeaker(ctx context.Context) error {
	program, err := cluster.BuildBinary(ctx, "./e2e/migrate/oldspeaker")
	if err != nil {
		return err
	}
	packages, err := cluster.Packages(ctx, os.Stderr, "bird2")
	if err != nil {
		return err
	}
	bird := filepath.Join(packages, "usr", "sbin", "bird")
	files := map[string]string{"/oldspeaker": program, "/bird": bird}
	if err := libraries(ctx, bird, packages, files); err != nil {
		return err
	}
	tar, err := cluster.BuildImage(cluster.ImageSpec{
		Name: oldImage, Files: files, Entrypoint: []string{"/oldspeaker"}, Env: []string{"LD_LIBRARY_PATH=/lib"},
	})
	if err != nil {
		return err
	}
	return lab.LoadImage(ctx, tar)
}

// libraries adds the files that a program of an unpacked package is linked with: its loader where it looks for it, all
// else in /lib.
func libraries(ctx context.Context, program, packages string, files map[string]string) error {
	dirs, err := filepath.Glob(filepath.Join(packages, "usr", "lib", "*-linux-gnu*"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "ldd", program)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(dirs, ":"))
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("finding the libraries of %s: %w", program, err)
	}
	for line := range strings.Lines(string(out)) {
		switch f := strings.Fields(line); {
		case len(f) == 4 && f[1] == "=>":
			files["/lib/"+f[0]] = f[2]
		case len(f) == 2 && filepath.IsAbs(f[0]):
			files[f[0]] = f[0]
		}
	}
	return nil
}

// root is the directory of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
