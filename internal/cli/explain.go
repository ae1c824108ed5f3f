package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// subject is what is to be explained.
type subject struct {
	kind string // one of explainable
	types.NamespacedName
}

func (a *app) newExplain() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "explain svc/NAME | ip/ADDRESS | node/NAME | pool/NAME | peer/NAME",
		Short: "Why: the whole chain in order, the first broken link on top",
		Example: `  kubectl belfry explain svc/web -n shop
  kubectl belfry explain ip/192.0.2.10
  kubectl belfry explain node/worker-1`,
		GroupID: groupAsk, Args: cobra.ExactArgs(1), ValidArgsFunction: onlyFirst(a.completeSubjects(explainable()...)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.subjectOf(args[0])
			if err != nil {
				return err
			}
			e, err := a.explain(cmd.Context(), s)
			if err != nil {
				return err
			}
			if done, err := o.value(a.io.Out, e); done || err != nil {
				return err
			}
			return a.printExplanation(e)
		},
	}
	o.addFlag(cmd, "json", "yaml")
	return cmd
}

func (a *app) subjectOf(arg string) (s subject, err error) {
	if s.kind, s.NamespacedName, err = a.named(arg, explainable()); err != nil {
		return s, err
	}
	if _, err := netip.ParseAddr(s.Name); s.kind == "ip" && err != nil {
		return s, fmt.Errorf("%q is no address", s.Name)
	}
	return s, nil
}

func (a *app) explain(ctx context.Context, s subject) (explain.Explanation, error) {
	c, err := a.connect()
	if err != nil {
		return explain.Explanation{}, err
	}
	f, err := gatherer{c.client.List, a.system, a.now}.facts(ctx, needEndpoints)
	if err == nil && s.kind == "svc" {
		err = a.addUntyped(ctx, c, &f, s.NamespacedName)
	}
	if err != nil {
		return explain.Explanation{}, err
	}
	return explainIn(explain.Look(f), s), nil
}

// explainIn answers from what has been looked at.
func explainIn(v *explain.View, s subject) explain.Explanation {
	switch s.kind {
	case "svc":
		return v.Service(s.NamespacedName)
	case "ip":
		a, _ := netip.ParseAddr(s.Name) // subjectOf has looked
		return v.Address(a)
	case "node":
		return v.Node(s.Name)
	case "peer":
		return v.Peer(s.Name)
	}
	return v.Pool(s.Name)
}

func (a *app) printExplanation(e explain.Explanation) error {
	var b strings.Builder
	state := explain.OK
	broken := e.FirstBroken()
	if broken != nil {
		state = explain.Broken
	}
	fmt.Fprintf(&b, "%s %s: %s\n", a.style.state(state, mark(state)), a.style.bold(e.Subject), e.Summary)
	if broken != nil {
		w, _ := explain.WordsFor(broken.Reason)
		fmt.Fprintf(&b, "  why   %s: %s\n  do    %s\n", broken.Reason, w.Means, broken.Do)
	}
	b.WriteString("\n")
	for _, l := range e.Links {
		a.printLink(&b, l, broken != nil && l.Name == broken.Name && l.Reason == broken.Reason)
	}
	_, err := io.WriteString(a.io.Out, b.String())
	return err
}

// tagged puts the reason before the text, so that it can be looked up.
func tagged(r spec.Reason, text string) string {
	if r == "" {
		return text
	}
	return string(r) + ": " + text
}

// addUntyped adds the Service when it is of another type, so that this can be said.
func (a *app) addUntyped(ctx context.Context, c *cluster, f *explain.Facts, key types.NamespacedName) error {
	if slices.ContainsFunc(f.Services, func(s explain.Service) bool { return keyOf(s.Object) == key }) {
		return nil
	}
	var o corev1.Service
	err := c.client.Get(ctx, key, &o)
	if err == nil {
		f.Services = append(f.Services, explain.Service{Object: &o})
	}
	return client.IgnoreNotFound(err)
}

func (a *app) printLink(b *strings.Builder, l explain.Link, told bool) {
	fmt.Fprintf(b, "%s %-14s %s\n", a.style.state(l.State, mark(l.State)), l.Name, tagged(l.Reason, l.Text))
	if l.Do != "" && !told {
		fmt.Fprintf(b, "  %-14s %s\n", "", a.style.dim("→ "+l.Do))
	}
	width := 0
	for _, r := range l.Rows {
		width = max(width, len(r.Name))
	}
	for _, r := range l.Rows {
		fmt.Fprintf(b, "  %-14s %s %-*s  %s\n", "", a.style.state(r.State, mark(r.State)), width, r.Name, tagged(r.Reason, r.Text))
	}
}
