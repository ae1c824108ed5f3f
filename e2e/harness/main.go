package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Stage is what the tests of a package share: a lab, and a client of its API server.
type Stage struct {
	Lab *cluster.Cluster
	K8s client.Client

	kept bool // it was prepared by an earlier run
}

// Main brings a lab up, has it prepared, runs the package's tests and takes the lab down. It returns the exit code, for
// TestMain. Two flags are added:
//
//	-lab NAME   another name than that of the options: two may run at once under two names
//	-keep       leave the lab running, to look at it; the next run with -keep takes it as it is, with what is installed there
func Main(m *testing.M, o cluster.Options, prepare func(context.Context, *Stage) error) int {
	keep := flag.Bool("keep", false, "leave the lab running, to look at it; the next run with -keep takes it as it is")
	flag.StringVar(&o.Name, "lab", o.Name, "name of the lab: two may run at once under two names")
	flag.Parse()
	o.Detached, o.Log = *keep, os.Stderr
	code, err := runOn(m, o, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

func runOn(m *testing.M, o cluster.Options, prepare func(context.Context, *Stage) error) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lab, kept, err := start(ctx, o)
	if err != nil {
		return 1, err
	}
	if !o.Detached {
		defer func() { err = errors.Join(err, lab.Down(context.WithoutCancel(ctx))) }()
	}
	k, err := Client(lab)
	if err != nil {
		return 1, err
	}
	if err := prepare(ctx, &Stage{lab, k, kept}); err != nil {
		return 1, err
	}
	stop() // a signal ends the tests, and the lab ends with this process
	return m.Run(), nil
}

// start starts a lab, or takes the one that was kept.
func start(ctx context.Context, o cluster.Options) (lab *cluster.Cluster, kept bool, err error) {
	if o.Detached {
		if lab, err := cluster.Open(o.Name); !errors.Is(err, cluster.ErrNotRunning) {
			return lab, true, err
		}
	}
	lab, err = cluster.Start(ctx, o)
	return lab, false, err
}

// Step is one thing that is done before the tests.
type Step struct {
	What string
	Do   func() error
}

// Prepare does one after another and says on standard error what it does. A lab that was kept has been prepared.
func (s *Stage) Prepare(steps ...Step) error {
	if s.kept {
		return nil
	}
	for _, step := range steps {
		fmt.Fprintln(os.Stderr, step.What)
		if err := step.Do(); err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
	}
	return nil
}
