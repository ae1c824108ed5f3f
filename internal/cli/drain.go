package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// lookAgain is how often the speaker's status is read while a drain is waited for.
const lookAgain = 300 * time.Millisecond

// mostPatches bounds how often a Node is patched that others change meanwhile.
const mostPatches = 10

func (a *app) newDrain() *cobra.Command {
	var dryRun, noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Have a node hand over all addresses and announce nothing",
		Long: "Sets the taint " + v1beta1.Drain + ":NoSchedule on the node and waits until its speaker announces nothing. Pods stay where they are;\n" +
			"new ones that do not tolerate the taint go elsewhere. Needs the right to patch nodes.",
		GroupID: groupDo, Args: cobra.ExactArgs(1), ValidArgsFunction: onlyFirst(a.completeNames(kindNames()["node"])),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.drain(cmd.Context(), args[0], dryRun, noWait, timeout)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would move, and change nothing")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the node announces nothing")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}

func (a *app) newUndrain() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "undrain NODE",
		Short:   "Let a drained node announce again",
		Long:    "Removes the taint and the annotation " + v1beta1.Drain + " from the node. Needs the right to patch nodes.",
		GroupID: groupDo, Args: cobra.ExactArgs(1), ValidArgsFunction: onlyFirst(a.completeNames(kindNames()["node"])),
		RunE: func(cmd *cobra.Command, args []string) error { return a.undrain(cmd.Context(), args[0], dryRun) },
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing")
	return cmd
}

func (a *app) drain(ctx context.Context, name string, dryRun, noWait bool, timeout time.Duration) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	node, err := c.node(ctx, name)
	if err != nil {
		return err
	}
	if dryRun {
		f, err := gatherer{c.client.List, a.system, a.now}.facts(ctx, needEndpoints)
		if err != nil {
			return err
		}
		return a.printChanges(explain.WhatIf(explain.Look(f), explain.Look(f.Drained(name))))
	}
	if err := c.require(ctx, "drain", right{verb: "patch", resource: "nodes", name: name}); err != nil {
		return err
	}
	had, err := c.announced(ctx, name)
	if err != nil {
		return err
	}
	if len(drainPatch(node, true)) == 0 {
		fmt.Fprintf(a.io.Out, "%s is drained already\n", name)
	} else {
		if err := c.mark(ctx, node, true); err != nil {
			return err
		}
		fmt.Fprintf(a.io.Out, "%s is to be drained: %s\n", name, count(had, "announcement"))
	}
	if noWait {
		return nil
	}
	return a.awaitSilence(ctx, c, name, had, timeout)
}

// awaitSilence waits until the node's speaker says that it announces nothing.
func (a *app) awaitSilence(ctx context.Context, c *cluster, name string, had []string, timeout time.Duration) error {
	last := sum(had)
	err := wait.PollUntilContextTimeout(ctx, lookAgain, timeout, true, func(ctx context.Context) (bool, error) {
		now, err := c.announced(ctx, name)
		if err == nil && len(now) > 0 && sum(now) < last {
			last = sum(now)
			fmt.Fprintf(a.io.ErrOut, "%s left\n", count(now, "announcement"))
		}
		return err == nil && len(now) == 0, err
	})
	if err != nil {
		left, _ := c.announced(ctx, name)
		return fmt.Errorf("%s still announces %s: is another node able to take over? kubectl belfry explain node/%s: %w", name, strings.Join(left, ", "), name, err)
	}
	fmt.Fprintf(a.io.Out, "%s announces nothing\n", name)
	return a.tellSuccessors(ctx, c, had)
}

// tellSuccessors says who announces now what the node announced before.
func (a *app) tellSuccessors(ctx context.Context, c *cluster, had []string) error {
	if len(had) == 0 {
		return nil
	}
	var statuses v1beta1.SpeakerStatusList
	if err := c.client.List(ctx, &statuses); err != nil {
		return fmt.Errorf("listing SpeakerStatuses: %w", err)
	}
	for i := range statuses.Items {
		s := &statuses.Items[i]
		if taken := intersection(ranges(had), ranges(announcements(s))); len(taken) > 0 {
			fmt.Fprintf(a.io.Out, "%s announces %s now\n", s.Name, joinRanges(taken))
		}
	}
	return nil
}

func (a *app) undrain(ctx context.Context, name string, dryRun bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	node, err := c.node(ctx, name)
	if err != nil {
		return err
	}
	if len(drainPatch(node, false)) == 0 {
		fmt.Fprintf(a.io.Out, "%s is not drained\n", name)
		return nil
	}
	if dryRun {
		fmt.Fprintf(a.io.Out, "%s would announce again (dry run)\n", name)
		return nil
	}
	if err := c.require(ctx, "undrain", right{verb: "patch", resource: "nodes", name: name}); err != nil {
		return err
	}
	if err := c.mark(ctx, node, false); err != nil {
		return err
	}
	fmt.Fprintf(a.io.Out, "%s may announce again\n", name)
	return nil
}

func isDrain(t corev1.Taint) bool { return t.Key == v1beta1.Drain }

func (c *cluster) node(ctx context.Context, name string) (*corev1.Node, error) {
	var n corev1.Node
	if err := c.client.Get(ctx, types.NamespacedName{Name: name}, &n); err != nil {
		return nil, fmt.Errorf("reading Node %s: %w", name, err)
	}
	return &n, nil
}

// mark gives a node the taint, or takes taints and annotation of drains off. Each patch holds only while what it was made from
// is there, and touches nothing else: what others write meanwhile stays. Where it does not hold, it is made anew from the Node
// as it is now.
func (c *cluster) mark(ctx context.Context, n *corev1.Node, drained bool) error {
	for range mostPatches {
		patch := drainPatch(n, drained)
		if len(patch) == 0 {
			return nil
		}
		body, err := json.Marshal(patch)
		if err != nil {
			return err
		}
		err = c.client.Patch(ctx, n, client.RawPatch(types.JSONPatchType, body))
		if err == nil {
			return nil
		}
		if !apierrors.IsInvalid(err) {
			return fmt.Errorf("patching Node %s: %w", n.Name, err)
		}
		if n, err = c.node(ctx, n.Name); err != nil {
			return err
		}
	}
	return fmt.Errorf("patching Node %s: others kept changing its taints; try again", n.Name)
}

// drainPatch is the JSON patch (RFC 6902) that marks a Node as drained, or as not drained; empty if it is marked so.
func drainPatch(n *corev1.Node, drained bool) (ops []map[string]any) {
	const taints = "/spec/taints"
	if drained {
		switch {
		case slices.ContainsFunc(n.Spec.Taints, isDrain):
			return nil
		case len(n.Spec.Taints) == 0:
			ops = append(ops, map[string]any{"op": "test", "path": taints, "value": nil}, map[string]any{"op": "add", "path": taints, "value": []any{}})
		}
		return append(ops, map[string]any{"op": "add", "path": taints + "/-", "value": corev1.Taint{Key: v1beta1.Drain, Effect: corev1.TaintEffectNoSchedule}})
	}
	for i, t := range slices.Backward(n.Spec.Taints) { // from the end: the places of those before it stay
		if isDrain(t) {
			at := fmt.Sprintf("%s/%d", taints, i)
			ops = append(ops, map[string]any{"op": "test", "path": at + "/key", "value": t.Key}, map[string]any{"op": "remove", "path": at})
		}
	}
	if _, annotated := n.Annotations[v1beta1.Drain]; annotated {
		ops = append(ops, map[string]any{"op": "remove", "path": "/metadata/annotations/" + strings.ReplaceAll(v1beta1.Drain, "/", "~1")})
	}
	return ops
}

// announced lists what the node's speaker says that it announces.
func (c *cluster) announced(ctx context.Context, node string) ([]string, error) {
	var s v1beta1.SpeakerStatus
	err := c.client.Get(ctx, types.NamespacedName{Name: node}, &s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading SpeakerStatus %s: %w", node, err)
	}
	return announcements(&s), nil
}

// announcements lists all that a speaker says that it announces, as it writes it.
func announcements(s *v1beta1.SpeakerStatus) []string {
	out := slices.Clone(s.Status.L2.Addresses)
	for _, p := range s.Status.BGP.Peers {
		if p.RoutesSent > 0 && p.State == v1beta1.SessionEstablished {
			out = append(out, fmt.Sprintf("%d routes to peer %s", p.RoutesSent, p.Name))
		}
	}
	if n := s.Status.Omitted.L2Addresses; n > 0 {
		out = append(out, fmt.Sprintf("addresses in %d more ranges", n))
	}
	if n := s.Status.Omitted.BGPPeers; n > 0 {
		out = append(out, fmt.Sprintf("perhaps routes to %d more peers", n))
	}
	return out
}

func ranges(list []string) (out []spec.Range) {
	for _, s := range list {
		if r, err := spec.ParseRange(s); err == nil {
			out = append(out, r)
		}
	}
	return spec.Merge(out)
}

// intersection is what is in both.
func intersection(a, b []spec.Range) []spec.Range { return spec.Subtract(a, spec.Subtract(a, b)) }

func joinRanges(list []spec.Range) string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// count says how many addresses and routes a list of announcements holds.
func count(list []string, what string) string {
	n := sum(list)
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sum(list []string) (n int64) {
	for _, text := range list {
		var routes int64
		if _, err := fmt.Sscanf(text, "%d routes to", &routes); err == nil {
			n += routes
		} else if r, err := spec.ParseRange(text); err == nil {
			n += r.Size()
		}
	}
	return n
}
