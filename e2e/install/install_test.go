package install

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestInstallPage does what docs/install.md tells: the manifest without helm, then, on a cluster that has never seen it, a
// release that is upgraded and removed to the last trace. Building the image is for the tests of the release to try.
func TestInstallPage(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	if err := harness.BuildImageAs(ctx, lab, imageOfManifest(t)); err != nil {
		t.Fatal(err)
	}
	env, done := environment(t), map[string]bool{}
	for _, b := range blocksOf(t, "install.md") {
		command := strings.Join(strings.Fields(b)[:2], " ")
		switch {
		case command == "make image":
			continue
		case command == "helm upgrade": // of a release, which the manifest is not
			clean(t)
			if err := harness.Install(ctx, lab); err != nil {
				t.Fatal(err)
			}
		}
		run(ctx, t, env, b)
		done[command] = true
		if strings.Contains(b, "install.yaml") {
			kubectl(ctx, t, "--namespace", harness.Namespace, "rollout", "status", "deployment/belfry-controller", "daemonset/belfry-speaker", "--timeout=2m")
		}
	}
	for _, command := range []string{"kubectl create", "kubectl apply", "helm upgrade", "helm uninstall", "kubectl get"} {
		if !done[command] {
			t.Errorf("the page no longer tells %s", command)
		}
	}
	if left := kubectl(ctx, t, "get", "crds,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name"); strings.Contains(left, "belfry") {
		t.Errorf("something is left:\n%s", left)
	}
}

// imageOfManifest returns the image that config/install.yaml names.
func imageOfManifest(t *testing.T) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "config", "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*image: (\S+)$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("config/install.yaml names no image")
	}
	return string(m[1])
}
