// Command kubectl-belfry is the plugin `kubectl belfry`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/belfry-lb/belfry/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctrllog.SetLogger(logr.Discard()) // what goes wrong is told in errors
	root := cli.New(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, version)
	err := root.ExecuteContext(ctx)
	stop()
	code, tell := cli.ExitCode(err)
	if tell {
		fmt.Fprintln(os.Stderr, "kubectl belfry:", err)
	}
	os.Exit(code)
}
