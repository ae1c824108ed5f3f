package cli

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/belfry-lb/belfry/internal/migrate"
)

// move is a change-over that is being carried out, in one direction.
type move struct {
	*app
	*cluster
	migration
	other other
}

func (a *app) newMove(c *cluster, m migration, o other) *move {
	return &move{app: a, cluster: c, migration: m, other: o}
}

// next asks what is to be done, from what the cluster shows now.
func (m *move) next(ctx context.Context) (migrate.Step, bool, error) {
	s, err := m.stand(ctx)
	if err != nil {
		return migrate.Step{}, false, err
	}
	if m.rollback {
		step, ok := migrate.Back(s.State, s.ours)
		return step, ok, nil
	}
	step, ok := migrate.Next(s.State)
	return step, ok, nil
}

func (m *move) run(ctx context.Context) error {
	if m.apply {
		m.tellNotes(m.other.result)
	}
	if m.dryRun {
		return m.rehearse(ctx)
	}
	if err := m.mayMove(ctx); err != nil {
		return err
	}
	if gap := m.other.gap(m.rollback); gap != "" {
		fmt.Fprintln(m.io.ErrOut, "There will be a gap:", gap)
	}
	for {
		step, ok, err := m.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return m.done()
		}
		fmt.Fprintln(m.io.Out, step.Text)
		switch {
		case step.ByHand():
			return fmt.Errorf("this is for you to do first: %s", step.Text)
		case !step.Waits():
			if err := m.carryOut(ctx, step); err != nil {
				return fmt.Errorf("%s: %w", step.Text, err)
			}
		}
		if err := m.await(ctx, step); err != nil {
			return err
		}
	}
}

// await returns when there is something else to do than this step.
func (m *move) await(ctx context.Context, step migrate.Step) error {
	last := step.Text
	err := wait.PollUntilContextTimeout(ctx, lookAgain, m.timeout, true, func(ctx context.Context) (bool, error) {
		now, ok, err := m.next(ctx)
		if err != nil || !ok || now.Do != step.Do || fmt.Sprint(now.Nodes) != fmt.Sprint(step.Nodes) {
			return true, err
		}
		if now.Waits() && now.Text != last {
			last = now.Text
			fmt.Fprintln(m.io.Out, now.Text)
		}
		return false, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("%s: not within %s; the change-over stands still there, and goes on when you start it again: --timeout is for longer waits, --rollback goes back", last, m.timeout)
	}
	return err
}

func (m *move) rehearse(ctx context.Context) error {
	s, err := m.stand(ctx)
	if err != nil {
		return err
	}
	steps := migrate.Rehearse(s.State)
	if m.rollback {
		steps = migrate.RehearseBack(s.State, s.ours)
	}
	if len(steps) == 0 {
		return m.done()
	}
	for _, step := range steps {
		fmt.Fprintln(m.io.Out, step.Text)
	}
	if gap := m.other.gap(m.rollback); gap != "" {
		fmt.Fprintln(m.io.ErrOut, "There will be a gap:", gap)
	}
	return nil
}

func (m *move) done() error {
	text := "done: Belfry assigns and announces; MetalLB runs nowhere and can be uninstalled, its pools and Secrets too"
	if m.rollback {
		text = "done: MetalLB assigns and announces, as before"
	}
	_, err := fmt.Fprintln(m.io.Out, text)
	return err
}

// mayMove checks before anything is written that nothing will be refused in the middle.
func (m *move) mayMove(ctx context.Context) error {
	w, err := m.workloadsOf(ctx)
	if err != nil {
		return err
	}
	rights := []right{{verb: "patch", resource: "nodes"}}
	for _, d := range w.controllers {
		rights = append(rights, right{verb: "patch", group: "apps", resource: "deployments", namespace: d.Namespace, name: d.Name})
	}
	for _, d := range w.speakers {
		rights = append(rights, right{verb: "patch", group: "apps", resource: "daemonsets", namespace: d.Namespace, name: d.Name})
	}
	verbs := []string{"get", "patch", "create"}
	if m.rollback {
		verbs = append(verbs, "delete")
	}
	for _, r := range []string{"bfdprofiles", "communities", "ipaddresspools", "bgppeers", "l2advertisements", "bgpadvertisements"} {
		for _, v := range verbs {
			rights = append(rights, right{verb: v, group: group, resource: r})
		}
	}
	for _, s := range m.other.result.Secrets {
		rights = append(rights,
			right{verb: "get", resource: "secrets", namespace: s.Namespace, name: s.Name},
			right{verb: "get", resource: "secrets", namespace: m.app.system, name: s.Name},
			right{verb: verbs[len(verbs)-1], resource: "secrets", namespace: m.app.system})
	}
	if m.rollback && len(w.controllers) == 0 {
		return fmt.Errorf("there is no controller of MetalLB to go back to: install it again first")
	}
	return m.require(ctx, "migrate", rights...)
}

// time is the present by this machine's clock.
func (m *move) time() time.Time { return m.app.now() }
