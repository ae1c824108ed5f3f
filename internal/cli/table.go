package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/internal/explain"
)

// tableCommand is a command that shows a table of what there is.
type tableCommand struct {
	use        string
	aliases    []string
	short      string
	need       need
	namespaced bool
	rows       func(f explain.Facts, namespace string) any // for -o json and yaml
	show       func(f explain.Facts, namespace string) *table
	flags      func(*cobra.Command)
}

func (a *app) newTable(t tableCommand) *cobra.Command {
	var o output
	var all, watch bool
	cmd := &cobra.Command{
		Use: t.use, Aliases: t.aliases, Short: t.short, GroupID: groupSee, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace, err := a.namespace(t.namespaced && !all)
			if err != nil {
				return err
			}
			if watch {
				if !o.table() {
					return errors.New("--watch prints rows: leave out -o json and -o yaml")
				}
				return a.watchTable(cmd.Context(), t, namespace, o.wide())
			}
			return a.printTable(cmd.Context(), t, namespace, &o)
		},
	}
	o.addFlag(cmd, "wide", "json", "yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on and print each row that changes")
	if t.namespaced {
		cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	}
	if t.flags != nil {
		t.flags(cmd)
	}
	return cmd
}

// namespace returns the one that the flags and the kubeconfig name; "" for all.
func (a *app) namespace(one bool) (string, error) {
	if !one {
		return "", nil
	}
	ns, _, err := a.flags.ToRawKubeConfigLoader().Namespace()
	return ns, err
}

func (a *app) gather(ctx context.Context, what need) (explain.Facts, error) {
	c, err := a.connect()
	if err != nil {
		return explain.Facts{}, err
	}
	return gatherer{c.client.List, a.system, a.now}.facts(ctx, what)
}

func (a *app) printTable(ctx context.Context, t tableCommand, namespace string, o *output) error {
	f, err := a.gather(ctx, t.need)
	if err != nil {
		return err
	}
	if done, err := o.value(a.io.Out, t.rows(f, namespace)); done || err != nil {
		return err
	}
	return t.show(f, namespace).writeTo(a.io.Out, a.style, o.wide())
}

// watchTable prints the table, and then each row that is new or has changed.
func (a *app) watchTable(ctx context.Context, t tableCommand, namespace string, wide bool) error {
	shown := map[string]bool{}
	first := true
	return a.follow(ctx, t.need, func(f explain.Facts) error {
		now := t.show(f, namespace)
		fresh := &table{titles: now.titles, wide: now.wide}
		seen := map[string]bool{}
		for _, r := range now.rows {
			key := rowKey(r[:now.columns(wide)])
			seen[key] = true
			if !shown[key] {
				fresh.rows = append(fresh.rows, r)
			}
		}
		shown = seen
		if !first && len(fresh.rows) == 0 {
			return nil
		}
		first = false
		return fresh.writeTo(a.io.Out, a.style, wide)
	})
}

func rowKey(cells []cell) string {
	var b strings.Builder
	for _, c := range cells {
		b.WriteString(c.text + "\x00")
	}
	return b.String()
}

func (o *output) table() bool { return o.format == "" || o.format == "wide" }
