// Command belfry is the controller and the speaker in one binary.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	root := &cobra.Command{
		Use:           "belfry",
		Short:         "Addresses for Services of type LoadBalancer on bare metal",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newController(), newSpeaker(), newSelftest(), newVersion())
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "belfry:", err)
		os.Exit(1)
	}
}
