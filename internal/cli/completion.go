package cli

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

// completionProgram is what kubectl runs at the Tab key: the plugin's completions are those of cobra.
//
//go:embed kubectl_complete-belfry
var completionProgram string

// addCompletion adds the command completion: cobra's scripts are for kubectl-belfry typed so, kubectl's is for all others.
func (a *app) addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.AddCommand(a.newKubectlCompletion())
		}
	}
}

func (a *app) newKubectlCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl",
		Short: "Print the program with which kubectl completes `kubectl belfry`",
		Long: "Prints the program that kubectl looks for to complete what follows `kubectl belfry`. Put it into a folder of your PATH,\n" +
			"under the name kubectl_complete-belfry, and have kubectl's own completion loaded in your shell.",
		Example: `  kubectl belfry completion kubectl > ~/.local/bin/kubectl_complete-belfry
  chmod +x ~/.local/bin/kubectl_complete-belfry`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.io.Out, completionProgram)
			return err
		},
	}
}
