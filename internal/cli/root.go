package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Exit codes besides 0 and 1.
const (
	// ExitLoss: plan found that something would be lost.
	ExitLoss = 2
	// ExitFindings: doctor found a problem.
	ExitFindings = 2
)

// ExitError ends the program with a code, without a word: all has been said.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode returns the code to end with, and whether the error is still to be told.
func ExitCode(err error) (code int, tell bool) {
	var exit *ExitError
	switch {
	case err == nil:
		return 0, false
	case errors.As(err, &exit):
		return exit.Code, false
	}
	return 1, true
}

// app is what all commands share.
type app struct {
	io      genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	version string
	system  string // namespace of Belfry
	now     func() time.Time
	style   style
}

// New returns the plugin's root command.
func New(streams genericiooptions.IOStreams, version string) *cobra.Command {
	a := &app{
		io: streams, flags: genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag(),
		version: version, now: time.Now, style: styleFor(streams.Out),
	}
	root := &cobra.Command{
		Use:           "kubectl-belfry",
		Short:         "Ask Belfry why, and what if",
		Long:          "Shows what Belfry does in a cluster and explains why: which Service has which address, who announces it, and what stands in the way.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl belfry"},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	a.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVar(&a.system, "belfry-namespace", "belfry-system", "namespace in which Belfry is installed")
	for _, flag := range []string{"namespace", "belfry-namespace"} {
		must(root.RegisterFlagCompletionFunc(flag, a.completeNames(corev1.SchemeGroupVersion.WithKind("Namespace"))))
	}
	must(root.RegisterFlagCompletionFunc("context", a.completeContexts))
	root.AddGroup(&cobra.Group{ID: groupSee, Title: "See:"}, &cobra.Group{ID: groupAsk, Title: "Ask:"}, &cobra.Group{ID: groupDo, Title: "Do:"})
	root.AddCommand(
		a.newStatus(), a.newPools(), a.newServices(), a.newSpeakers(), a.newPeers(), a.newRoutes(), a.newBFD(), a.newUI(),
		a.newExplain(), a.newPlan(), a.newDoctor(), a.newReport(), a.newDrain(), a.newUndrain(), a.newMigrate(),
		a.newVersion(),
	)
	a.addCompletion(root)
	return root
}

const (
	groupSee = "see"
	groupAsk = "ask"
	groupDo  = "do"
)

// must is for what only a mistake in this package can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (a *app) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the plugin's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.io.Out, a.version)
			return err
		},
	}
}

// isTerminal tells whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
