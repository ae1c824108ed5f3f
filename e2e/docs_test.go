package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// Every YAML block of the docs, and every sample, must be something that the API server takes.
func TestDocsApply(t *testing.T) {
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, path := range documents(t, root) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, manifest := range manifests(path, string(b)) {
			tested++
			s := newScene(t)
			if _, err := harness.Kubectl(s.Ctx, lab, strings.NewReader(manifest), "apply", "--dry-run=server", "-f", "-"); err != nil {
				t.Errorf("%s: %v\n%s", path, err, manifest)
			}
		}
	}
	if tested < 4 {
		t.Errorf("%d manifests were found; the search is broken", tested)
	}
}

func documents(t *testing.T, root string) []string {
	t.Helper()
	paths := []string{filepath.Join(root, "README.md")}
	for _, dir := range []string{"docs", filepath.Join("config", "samples"), "charts"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			sample := strings.Contains(path, "samples") && strings.HasSuffix(path, ".yaml") && d.Name() != "kustomization.yaml"
			if err == nil && (sample || strings.HasSuffix(path, ".md")) {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// others are kinds that the cluster does not know; the tests of what uses them apply them.
var others = regexp.MustCompile(`(?m)^apiVersion: gateway\.networking\.k8s\.io/`)

// manifests returns a YAML file whole, and of a Markdown file the blocks that are Kubernetes objects.
func manifests(path, text string) []string {
	if !strings.HasSuffix(path, ".md") {
		return []string{text}
	}
	var found []string
	for _, block := range render.Blocks(text, "yaml") {
		if strings.Contains(block, "apiVersion:") && !others.MatchString(block) {
			found = append(found, block)
		}
	}
	return found
}
