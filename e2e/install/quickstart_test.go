package install

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestQuickstartPage does what docs/quickstart.md tells, command by command. What differs from a home is where the addresses
// and the images come from, and that curl runs on a machine that is no part of the cluster.
func TestQuickstartPage(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	blocks := blocksOf(t, "quickstart.md")
	if len(blocks) < 7 {
		t.Fatalf("%d blocks were found; the search is broken", len(blocks))
	}
	env := environment(t)
	for _, b := range blocks {
		out := run(ctx, t, env, b)
		for command, words := range map[string]string{
			"curl":           "pod=web-",
			"helm test":      "is announced by n",
			"helm uninstall": "ipaddresspool.belfry.dev/quickstart",
			"get service":    lab.Addr4(240).String(),
		} {
			if strings.Contains(b, command) && !strings.Contains(out, words) {
				t.Errorf("%s did not say %q", command, words)
			}
		}
	}
}

// blocksOf returns the shell commands of a page, block by block.
func blocksOf(t *testing.T, page string) []string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return render.Blocks(string(text), "sh")
}

// run runs a block of commands in the root of the repository; a command that fails fails the test.
func run(ctx context.Context, t *testing.T, env []string, block string) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	return runIn(ctx, t, root, env, block)
}

func runIn(ctx context.Context, t *testing.T, dir string, env []string, block string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", here(block))
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	t.Logf("$ %s%s", here(block), out)
	if err != nil {
		t.Fatalf("%s: %v", block, err)
	}
	return string(out)
}

// here replaces what is of a home by what is of the lab.
func here(block string) string {
	block = regexp.MustCompile(`192\.168\.1\.(\d+)`).ReplaceAllString(block, strings.TrimSuffix(lab.Addr4(1).String(), "1")+"$1")
	block = strings.ReplaceAll(block, "--image=nginx", "--image="+cluster.WebImage)
	return strings.ReplaceAll(block, "--port=80", "--port=80 --target-port=8080")
}

// environment is that of somebody who sits before the cluster.
func environment(t *testing.T) []string {
	t.Helper()
	return append(lab.Env(), "PATH="+wrappers(t)+":"+os.Getenv("PATH"))
}

// wrappers returns a directory with kubectl, with a helm that installs the image of these sources, in the root of the
// repository, and with a curl that runs on a client of the lab.
func wrappers(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	helm := os.Getenv("BELFRY_HELM")
	if helm == "" {
		helm = "go tool -modfile=tools/go.mod helm"
	}
	for name, script := range map[string]string{
		"kubectl": fmt.Sprintf("exec %s \"$@\"", lab.Binaries().Path("kubectl")),
		"helm":    fmt.Sprintf("cd %s\ncase $1 in install|upgrade) set -- \"$@\" %s;; esac\nexec %s \"$@\"", root, strings.Join(harness.ImageFlags(), " "), helm),
		"curl":    fmt.Sprintf("exec nsenter --net=%s /usr/bin/env PATH=/usr/bin:/bin curl \"$@\"", lab.Client(1).NetNS()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSelftestSaysWhatIsMissing: `helm test` fails, with words, as long as there are no addresses to give away, and passes
// as soon as there are.
func TestSelftestSaysWhatIsMissing(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	if err := harness.Install(ctx, lab); err != nil {
		t.Fatal(err)
	}
	out, err := helm(ctx, "test", harness.Release, "--logs", "--timeout", "2m")
	if err == nil || !strings.Contains(out+err.Error(), "it has no address: ") {
		t.Errorf("without a pool: %v\n%s", err, out)
	}
	if err := harness.Apply(ctx, lab, harness.PoolManifest(lab, "lan", 200, 209)); err != nil {
		t.Fatal(err)
	}
	out, err = helm(ctx, "test", harness.Release, "--logs", "--timeout", "2m")
	if err != nil || !strings.Contains(out, "is announced by n") {
		t.Errorf("with a pool: %v\n%s", err, out)
	}
	if left := kubectl(ctx, t, "get", "services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings", "-A", "-o", "name"); strings.Contains(left, "selftest") {
		t.Errorf("something is left of the test:\n%s", left)
	}
}

// TestFirstAnswer: from one line of helm, and nothing else, to the first page on the network.
func TestFirstAnswer(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	for _, manifest := range []string{harness.Web("web", 2), harness.Service("web", "web", "", 80)} {
		if err := harness.Apply(ctx, lab, manifest); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = harness.Kubectl(context.Background(), lab, nil, "delete", "deployment,service", "web", "--ignore-not-found")
	})
	if err := harness.AwaitDeployment(ctx, lab, "default", "web"); err != nil {
		t.Fatal(err)
	}
	env := environment(t)
	t.Cleanup(func() {
		run(context.WithoutCancel(ctx), t, env, "helm uninstall belfry --wait")
	})
	began := time.Now()
	run(ctx, t, env, "helm install belfry charts/belfry --set quickstart.addresses=192.168.1.240-192.168.1.250")
	addrs, err := harness.AwaitAddresses(ctx, k8s, types.NamespacedName{Namespace: "default", Name: "web"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	err = harness.Eventually(ctx, "the first page", func(ctx context.Context) error {
		_, err := harness.Get(ctx, lab.Client(1), netip.AddrPortFrom(addrs[0], 80))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the first page came %d ms after helm install began", time.Since(began).Milliseconds())
}
