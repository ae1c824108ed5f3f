package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/belfry-lb/belfry/internal/explain"
)

func (a *app) newPlan() *cobra.Command {
	var o output
	var files, gone []string
	var recursive bool
	cmd := &cobra.Command{
		Use:   "plan -f FILE [--delete KIND/NAME]",
		Short: "What if: who would gain, lose or move if these objects were applied or deleted",
		Long: "Runs the allocator and the plan with the cluster as it is and as it would be, and shows the difference. Nothing is written.\n" +
			"The exit code is 2 if something would be lost, 0 if not.",
		Example: `  kubectl belfry plan -f pools.yaml
  kubectl belfry plan --delete pool/lan
  kubectl belfry plan --delete node/worker-1`,
		GroupID: groupAsk, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files)+len(gone) == 0 {
				return fmt.Errorf("say what would change: -f FILE or --delete KIND/NAME")
			}
			changes, err := a.whatIf(cmd.Context(), files, gone, recursive)
			if err != nil {
				return err
			}
			if done, err := o.value(a.io.Out, changes); done || err != nil {
				return lossy(changes, err)
			}
			return lossy(changes, a.printChanges(changes))
		},
	}
	o.addFlag(cmd, "json", "yaml")
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "file, folder or URL with objects; - for the standard input")
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "look into folders of folders too")
	cmd.Flags().StringSliceVar(&gone, "delete", nil, "object that would be deleted, KIND/NAME: "+strings.Join(deletable(), ", "))
	must(cmd.RegisterFlagCompletionFunc("delete", a.completeSubjects(deletable()...)))
	return cmd
}

func lossy(changes []explain.Change, err error) error {
	if err == nil && explain.Lossy(changes) {
		return &ExitError{ExitLoss}
	}
	return err
}

func (a *app) whatIf(ctx context.Context, files, gone []string, recursive bool) ([]explain.Change, error) {
	objects, err := a.readObjects(files, recursive)
	if err != nil {
		return nil, err
	}
	before, err := a.gather(ctx, needEndpoints)
	if err != nil {
		return nil, err
	}
	after, err := a.edit(before, objects, gone)
	if err != nil {
		return nil, err
	}
	changes := explain.WhatIf(explain.Look(before), explain.Look(after))
	if changes == nil {
		changes = []explain.Change{}
	}
	return changes, nil
}

// readObjects reads manifests as kubectl does.
func (a *app) readObjects(files []string, recursive bool) ([]*unstructured.Unstructured, error) {
	if len(files) == 0 {
		return nil, nil
	}
	namespace, err := a.namespace(true)
	if err != nil {
		return nil, err
	}
	b := resource.NewLocalBuilder().Unstructured().ContinueOnError().NamespaceParam(namespace).DefaultNamespace().Flatten()
	if i := slices.Index(files, "-"); i >= 0 {
		files = slices.Delete(slices.Clone(files), i, i+1)
		b = b.Stream(a.io.In, "the standard input")
	}
	if len(files) > 0 {
		b = b.FilenameParam(false, &resource.FilenameOptions{Filenames: files, Recursive: recursive})
	}
	infos, err := b.Do().Infos()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, i := range infos {
		u, ok := i.Object.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("%s: not understood", i.Source)
		}
		out = append(out, u)
	}
	return out, nil
}

// edit returns the facts as they would be. What kubectl apply would refuse is an error.
func (a *app) edit(f explain.Facts, objects []*unstructured.Unstructured, gone []string) (explain.Facts, error) {
	for _, u := range objects {
		o, err := typed(u)
		if err != nil && !runtime.IsNotRegisteredError(err) {
			return f, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
		changed, err := f.Apply(o)
		if err != nil {
			fmt.Fprintf(a.io.ErrOut, "%s %s is passed over: it decides nothing about addresses\n", u.GetKind(), u.GetName())
			continue
		}
		f = changed
	}
	for _, arg := range gone {
		kind, key, err := a.named(arg, deletable())
		if err != nil {
			return f, fmt.Errorf("--delete %w", err)
		}
		if f, err = f.Delete(explain.Ref{Kind: kindNames()[kind].Kind, NamespacedName: key}); err != nil {
			return f, err
		}
	}
	return f, nil
}

// typed turns an object into its type; a field that the type does not know is an error, as it is with kubectl apply.
func typed(u *unstructured.Unstructured) (runtime.Object, error) {
	scheme, _, err := kinds()
	if err != nil {
		return nil, err
	}
	o, err := scheme.New(u.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	return o, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, o, true)
}

func (a *app) printChanges(changes []explain.Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(a.io.Out, "Nothing would change for any Service.")
		return err
	}
	var b strings.Builder
	count := map[explain.Effect]int{}
	for _, c := range changes {
		count[c.Effect]++
		effect := fmt.Sprintf("%-5s", c.Effect)
		switch c.Effect {
		case explain.Loses:
			effect = a.style.bad(effect)
		case explain.Moves:
			effect = a.style.warn(effect)
		case explain.Gains:
			effect = a.style.good(effect)
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", effect, c.Subject, tagged(c.Reason, c.Text))
	}
	fmt.Fprintf(&b, "\n%d would lose, %d would move, %d would gain.\n", count[explain.Loses], count[explain.Moves], count[explain.Gains])
	_, err := io.WriteString(a.io.Out, b.String())
	return err
}
