package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/internal/explain"
)

func (a *app) newDoctor() *cobra.Command {
	var o output
	var verbose bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what commonly stands in the way, each finding with its remedy",
		Long: "Looks at the whole cluster for what commonly stands in the way of addresses and announcements, before or after Belfry is installed.\n" +
			"The exit code is 2 if there is a problem; warnings alone leave it 0.",
		GroupID: groupAsk, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			stop := a.progress("looking at the cluster")
			found, err := a.diagnose(cmd.Context(), c)
			stop()
			if err != nil {
				return err
			}
			checks := explain.Examine(found)
			if done, err := o.value(a.io.Out, checks); done || err != nil {
				return unwell(checks, err)
			}
			return unwell(checks, a.printChecks(checks, found.Unread, verbose))
		},
	}
	o.addFlag(cmd, "json", "yaml")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the checks that found nothing, too")
	return cmd
}

func unwell(checks []explain.Check, err error) error {
	if err == nil && explain.Unwell(checks) {
		return &ExitError{ExitFindings}
	}
	return err
}

func (a *app) printChecks(checks []explain.Check, unread []string, verbose bool) error {
	var b strings.Builder
	fine := 0
	for _, c := range checks {
		if len(c.Findings) == 0 {
			if fine++; verbose {
				fmt.Fprintf(&b, "%s %s\n", a.style.good("✓"), c.Name)
			}
		}
		for _, f := range c.Findings {
			sign := a.style.bad("✗")
			if f.Severity == explain.Warning {
				sign = a.style.warn("!")
			}
			fmt.Fprintf(&b, "%s %s\n  %s\n", sign, f.Text, a.style.dim("→ "+f.Do))
		}
	}
	fmt.Fprintf(&b, "%d of %d checks found nothing.\n", fine, len(checks))
	for _, u := range unread {
		fmt.Fprintf(&b, "Not looked at: %s\n", u)
	}
	_, err := io.WriteString(a.io.Out, b.String())
	return err
}

// progress says what takes time, where somebody looks; the returned function wipes it away.
func (a *app) progress(what string) func() {
	if !isTerminal(a.io.ErrOut) {
		return func() {}
	}
	fmt.Fprintf(a.io.ErrOut, "%s …", what)
	return func() { fmt.Fprint(a.io.ErrOut, "\r\x1b[K") }
}
