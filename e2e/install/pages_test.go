package install

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// long bounds the wait for a dozen pages; it is no measurement.
const long = 12 * time.Minute

// pages are run one after the other, on a cluster with the Service web; what leaves a node drained comes last.
var pages = []string{
	"addresses.md", "migrate-from-metallb.md", "layer2.md", "bfd.md", "bgp.md", "bgp/routers.md", "bgp/troubleshooting.md", "kubectl-belfry.md", "monitoring.md",
	"bgp/drain.md", "operations.md",
}

// elsewhere are pages whose commands others run, or nobody can here.
var elsewhere = map[string]string{
	"quickstart.md": "TestQuickstartPage", "install.md": "TestInstallPage",
	"architecture.md": "tests of the sources, which a test of docs/ looks up",
	"bgp/bird.md":     "commands of a router", "bgp/frr.md": "commands of a router",
}

// passed over: what needs a router, is about the machine of whoever reads, or is tried by the tests of the release.
var passed = regexp.MustCompile(`bgppeer/|bgppeer router|peer/router|belfry.dev/ips=203\.0\.113\.|git clone|make (demo|plugin)|/usr/local/bin|krew`)

// operator is as much of the Prometheus Operator as takes its objects.
const operator = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, plural: podmonitors, singular: podmonitor}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: prometheusrules.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PrometheusRule, plural: prometheusrules, singular: prometheusrule}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// TestOtherPages: the commands of the README and of every page of docs/ that is not tried elsewhere do what they are told to.
func TestOtherPages(t *testing.T) {
	noneIsForgotten(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), long, errors.New("patience is over"))
	t.Cleanup(cancel)
	t.Cleanup(func() { leave(t) })
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := cluster.BuildBinary(ctx, filepath.Join(root, "cmd", "kubectl-belfry"), "-X", "main.version=lab")
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	if err := os.Symlink(plugin, filepath.Join(tools, "kubectl-belfry")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	env, dir := environment(t), t.TempDir()
	for _, manifest := range []string{operator, harness.Web("web", 2), harness.Service("web", "web", "", 80)} {
		if err := harness.Apply(ctx, lab, manifest); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range append([]string{"../README.md"}, pages...) {
		ran := 0
		for _, b := range blocksOf(t, page) {
			if b = runnable(b); b != "" {
				runIn(ctx, t, dir, env, b)
				ran++
			}
		}
		if ran == 0 {
			t.Errorf("%s tells no command any more", page)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "belfry.yaml")); err != nil || !strings.Contains(string(b), "kind: List") {
		t.Errorf("the backup: %q, %v", b, err)
	}
}

// noneIsForgotten: a page that tells commands is in one of the two lists.
func noneIsForgotten(t *testing.T) {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	docs := filepath.Join(root, "docs")
	err = filepath.WalkDir(docs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		page, err := filepath.Rel(docs, path)
		page = filepath.ToSlash(page)
		if err == nil && len(blocksOf(t, page)) > 0 && !slices.Contains(pages, page) && elsewhere[page] == "" {
			t.Errorf("docs/%s tells commands that nobody tries", page)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// runnable returns the commands of a block that can be run here, "" if there is none.
func runnable(block string) string {
	var w strings.Builder
	for command := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		if !passed.MatchString(command) {
			w.WriteString(command)
		}
	}
	return strings.TrimLeft(w.String(), "\n")
}

// leave takes away what the pages leave behind.
func leave(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	for _, args := range [][]string{
		{"uncordon", "n3"},
		{"taint", "node", "n3", v1beta1.Drain + "-"},
		{"delete", "--ignore-not-found", "deployment", "web", "shop"},
		{"delete", "service", "--field-selector", "spec.type=LoadBalancer"},
		{"delete", "--ignore-not-found", "crd", "podmonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"},
	} {
		if out, err := harness.Kubectl(ctx, lab, nil, args...); err != nil && !strings.Contains(err.Error()+out, "not found") {
			t.Error(err)
		}
	}
	clean(t)
}
