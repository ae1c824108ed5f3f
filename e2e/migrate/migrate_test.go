package migrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	return ctx
}

// TestManySpeak: every node announces, so nothing may be lost. The change-over is cut off in its middle, both ways.
func TestManySpeak(t *testing.T) {
	ctx, m := within(t), metalLB{bgpNodes: []string{"n1", "n2", "n3"}}
	seen := watchSessions(t, lab.Router(1))
	startRouter(ctx, t)
	m.install(ctx, t)
	awaitPaths(ctx, t, m.bgpNodes)

	flow := startTraffic(ctx, t, seen)
	cutOff(ctx, t, "n2: the old speaker leaves", "--apply")
	run(ctx, t, "--apply")
	flow.end(ctx, t, "over", true)
	seen.check(t, flow.before, m.bgpNodes)
	changedOver(ctx, t, m)

	flow = startTraffic(ctx, t, seen)
	cutOff(ctx, t, "n2: Belfry takes leave of its routers", "--rollback")
	run(ctx, t, "--rollback")
	flow.end(ctx, t, "back", true)
	seen.check(t, flow.before, m.bgpNodes)
	wentBack(ctx, t, m)
}

// TestOneSpeaks: only one node speaks to the router, so its addresses are gone for a while, and the plan says so
// beforehand. What is on the LAN is not.
func TestOneSpeaks(t *testing.T) {
	ctx, m := within(t), metalLB{bgpNodes: []string{"n1"}}
	seen := watchSessions(t, lab.Router(1))
	startRouter(ctx, t)
	m.install(ctx, t)
	awaitPaths(ctx, t, m.bgpNodes)

	out := run(ctx, t, "--apply", "--dry-run")
	if !strings.Contains(out, "There will be a gap: one node only speaks BGP") {
		t.Errorf("no gap is foretold:\n%s", out)
	}
	flow := startTraffic(ctx, t, seen)
	run(ctx, t, "--apply")
	flow.end(ctx, t, "over", false)
	seen.check(t, flow.before, m.bgpNodes)
	changedOver(ctx, t, m)

	flow = startTraffic(ctx, t, seen)
	run(ctx, t, "--rollback")
	flow.end(ctx, t, "back", false)
	seen.check(t, flow.before, m.bgpNodes)
	wentBack(ctx, t, m)
}

// run runs the plugin to its end.
func run(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, code, err := harness.Output(plugin.Do(ctx, append([]string{"migrate", "metallb"}, args...)...))
	if err != nil || code != 0 {
		t.Fatalf("migrate metallb %v: exit code %d, %v\n%s", args, code, err, out)
	}
	t.Logf("migrate metallb %v:\n%s", args, out)
	return out
}

// cutOff runs the plugin until it has printed a line, and kills it in the midst of what that says.
func cutOff(ctx context.Context, t *testing.T, at string, args ...string) {
	t.Helper()
	cmd := plugin.Do(ctx, append([]string{"migrate", "metallb"}, args...)...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	must(t, cmd.Start())
	var lines []string
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if lines = append(lines, scan.Text()); scan.Text() == at {
			break
		}
	}
	_ = cmd.Process.Kill()
	if err := cmd.Wait(); !slices.Contains(lines, at) {
		t.Fatalf("migrate metallb %v ended before %q: %v\n%s\n%s", args, at, err, strings.Join(lines, "\n"), &complaints)
	}
	t.Logf("migrate metallb %v, killed after:\n%s", args, strings.Join(lines, "\n"))
}

// changedOver checks that Belfry alone assigns and announces.
func changedOver(ctx context.Context, t *testing.T, m metalLB) {
	t.Helper()
	awaitPaths(ctx, t, m.bgpNodes)
	if pods := oldPods(ctx, t); pods != "" {
		t.Errorf("changed over, and these run: %s", pods)
	}
	for name, a := range services() {
		var s corev1.Service
		must(t, k8s.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &s))
		want := "lan"
		if routed(name) {
			want = "routed"
		} else {
			oneAnswers(ctx, t, a)
		}
		if got := s.Annotations[v1beta1.AnnotationAllocatedFrom]; got != want {
			t.Errorf("%s is from %q, want %s", name, got, want)
		}
	}
}

// oneAnswers waits until one station answers for the address, the one whose speaker says that it does.
func oneAnswers(ctx context.Context, t *testing.T, a netip.Addr) {
	t.Helper()
	must(t, harness.Eventually(ctx, "the answer of one node for "+a.String(), func(ctx context.Context) error {
		owners, err := harness.Owners(ctx, k8s, a)
		if err != nil || len(owners) != 1 {
			return fmt.Errorf("announced by %v, %w", owners, err)
		}
		h, err := lab.Host(owners[0])
		if err != nil {
			return err
		}
		want, err := h.MAC()
		if err != nil {
			return err
		}
		macs, err := harness.WhoAnswers(ctx, lab.Client(1), a)
		if err == nil && (len(macs) != 1 || macs[0].String() != want.String()) {
			err = fmt.Errorf("%v answer, want %s with %s", macs, owners[0], want)
		}
		return err
	}))
}

// wentBack checks that MetalLB is as it was, and nothing is left of Belfry's announcements.
func wentBack(ctx context.Context, t *testing.T, m metalLB) {
	t.Helper()
	awaitPaths(ctx, t, m.bgpNodes)
	kubectl(ctx, t, "rollout", "status", "--namespace", "metallb-system", "daemonset/speaker", "--timeout=2m")
	kubectl(ctx, t, "rollout", "status", "--namespace", "metallb-system", "deployment/controller", "--timeout=2m")
	const kinds = "ipaddresspools.belfry.dev,l2advertisements.belfry.dev,bgpadvertisements.belfry.dev,bgppeers.belfry.dev"
	if left := kubectl(ctx, t, "get", kinds, "--output=name"); left != "" {
		t.Errorf("went back, and these are left: %s", left)
	}
	for name, a := range services() {
		if routed(name) {
			continue
		}
		must(t, harness.Eventually(ctx, "silence of Belfry about "+name, func(ctx context.Context) error {
			owners, err := harness.Owners(ctx, k8s, a)
			if err == nil && len(owners) > 0 {
				err = fmt.Errorf("announced by %v", owners)
			}
			return err
		}))
	}
}

func oldPods(ctx context.Context, t *testing.T) string {
	t.Helper()
	return kubectl(ctx, t, "get", "pods", "--namespace", "metallb-system", "--output=name")
}
