package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/internal/migrate"
)

// migration is what the flags of migrate say.
type migration struct {
	system                  string // whose configuration is read
	files, values           []string
	output                  string
	apply, rollback, dryRun bool
	timeout, settle         time.Duration
}

// metalLB is the system that can be changed over from step by step; of the others the configuration is read.
const metalLB = "metallb"

func (a *app) newMigrate() *cobra.Command {
	m := migration{}
	systems := []string{metalLB, "cilium", "kube-vip", "openelb"}
	cmd := &cobra.Command{
		Use:   "migrate " + strings.Join(systems, "|"),
		Short: "Turn the configuration of another load balancer into Belfry's, and change over",
		Long: "Reads the objects of another load balancer, from the cluster or from files, and prints Belfry's, to be applied; beside them, on\n" +
			"the standard error, what changes its meaning and the steps of the change-over. Nothing is written.\n" +
			"With --apply it carries the steps out, from MetalLB only. It may be stopped at any moment: started again it goes on where\n" +
			"the cluster stands. --rollback goes back the same way.",
		Example: `  kubectl belfry migrate metallb -f metallb.yaml > belfry.yaml
  kubectl belfry migrate metallb --values values.yaml
  kubectl belfry migrate metallb --apply --dry-run
  kubectl belfry migrate metallb --apply
  kubectl belfry migrate metallb --rollback`,
		GroupID: groupDo, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: systems,
		RunE: func(cmd *cobra.Command, args []string) error {
			m.system = args[0]
			if err := m.check(); err != nil {
				return err
			}
			return a.migrate(cmd.Context(), m)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&m.files, "filename", "f", nil, "file, folder or URL with the other's objects; - for the standard input (default: those in the cluster)")
	f.StringSliceVar(&m.values, "values", nil, "file with values of MetalLB's chart; the cluster is not read then. Several: the later ones win, as with helm")
	f.StringVarP(&m.output, "output", "o", "yaml", "yaml")
	f.BoolVar(&m.apply, "apply", false, "change over, step by step")
	f.BoolVar(&m.rollback, "rollback", false, "go back to the other load balancer, step by step")
	f.BoolVar(&m.dryRun, "dry-run", false, "with --apply and --rollback: print the steps, and change nothing")
	f.DurationVar(&m.timeout, "timeout", 2*time.Minute, "how long one step may be waited for")
	f.DurationVar(&m.settle, "settle", 10*time.Second, "with --rollback: how long an old speaker must be ready before the next node follows")
	cmd.MarkFlagsMutuallyExclusive("apply", "rollback")
	cmd.MarkFlagsMutuallyExclusive("values", "apply")
	cmd.MarkFlagsMutuallyExclusive("values", "rollback")
	return cmd
}

func (m migration) check() error {
	switch {
	case m.output != "yaml":
		return fmt.Errorf("-o %s: write yaml", m.output)
	case m.moves() && m.system != metalLB:
		return fmt.Errorf("only the change-over from MetalLB can be carried out; of %s the configuration is printed", m.system)
	case len(m.values) > 0 && m.system != metalLB:
		return errors.New("--values is for the values of MetalLB's chart")
	case m.dryRun && !m.moves():
		return errors.New("--dry-run goes with --apply or --rollback; without them nothing is written anyway")
	}
	return nil
}

// live tells whether the configuration is read from the cluster.
func (m migration) live() bool { return len(m.files)+len(m.values) == 0 }

func (m migration) moves() bool { return m.apply || m.rollback }

func (a *app) migrate(ctx context.Context, m migration) error {
	var c *cluster
	var err error
	if m.live() || m.moves() {
		if c, err = a.connect(); err != nil {
			return err
		}
	}
	o, err := a.readOther(ctx, c, m)
	if err != nil {
		return err
	}
	if !m.moves() {
		return a.printMigration(m.system, o)
	}
	if m.apply && len(o.result.Objects) == 0 {
		return errors.New("nothing of MetalLB's configuration was found, so there is nothing to change over")
	}
	return a.newMove(c, m, o).run(ctx)
}

// byHand is for whoever applies what is printed: the controller does not keep an address that no pool holds yet.
const byHand = `By hand: apply all pools with "autoAssign: false" first, because the pools that are there give other addresses to Services
whose own pool is not. See that Belfry has adopted every Service (kubectl belfry services -A), then apply the pools as printed.`

// printMigration prints what can be applied on the standard output, and all that is for people on the other.
func (a *app) printMigration(system string, o other) error {
	r := o.result
	if len(r.Objects)+len(r.Notes)+len(r.Values) == 0 {
		return errors.New("nothing was found that could be turned into Belfry's configuration")
	}
	var out strings.Builder
	for _, object := range r.Objects {
		b, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("writing %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		fmt.Fprintf(&out, "---\n%s", b)
	}
	if _, err := io.WriteString(a.io.Out, out.String()); err != nil {
		return err
	}
	a.tellNotes(r)
	if system != metalLB {
		fmt.Fprintln(a.io.ErrOut, byHand+"\nApply the rest, and turn the announcements of", system, "off.")
		return nil
	}
	a.tellSteps(migrate.Rehearse(o.imagined()), o)
	fmt.Fprintln(a.io.ErrOut, "kubectl belfry migrate metallb --apply carries them out.\n"+byHand)
	return nil
}

// tellNotes says what of a configuration is not as it was.
func (a *app) tellNotes(r migrate.Result) {
	w := a.io.ErrOut
	if len(r.Notes) > 0 {
		fmt.Fprintln(w, "What is not as it was:")
		for _, n := range r.Notes {
			fmt.Fprintln(w, " ", n)
		}
	}
	if len(r.Values) > 0 {
		fmt.Fprintln(w, "Values for Belfry's chart:")
		for _, path := range slices.Sorted(maps.Keys(r.Values)) {
			fmt.Fprintln(w, " ", migrate.Flag(path, r.Values[path]))
		}
	}
	if len(r.Secrets) > 0 {
		fmt.Fprintf(w, "Secrets to copy into the namespace %s:\n", a.system)
		for _, s := range r.Secrets {
			fmt.Fprintf(w, "  %s/%s\n", s.Namespace, s.Name)
		}
	}
}

func (a *app) tellSteps(steps []migrate.Step, o other) {
	w := a.io.ErrOut
	fmt.Fprintln(w, "Steps of the change-over:")
	for i, s := range steps {
		fmt.Fprintf(w, "%3d. %s\n", i+1, s.Text)
	}
	if gap := o.gap(false); gap != "" {
		fmt.Fprintln(w, "There will be a gap:", gap)
	}
}
