package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/charts/render"
)

// page is the block of docs/install.md that tells of a HelmRelease and what depends on it.
// samples are files of config/samples, in the place of the user's.
var samples = [...]string{"pool.yaml", "l2advertisement.yaml", "bgp.yaml"}

type page struct {
	namespace     *unstructured.Unstructured
	release       helmv2.HelmRelease
	chart, belong kustomizev1.Kustomization // of the release, and of own objects
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := render.Root()
	must(t, err)
	dir, err = filepath.Abs(dir)
	must(t, err)
	return dir
}

// block returns the YAML block of docs/install.md that is marked with that word.
func block(t *testing.T, mark string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), "docs", "install.md"))
	must(t, err)
	blocks := render.Blocks(string(b), "yaml "+mark)
	if len(blocks) != 1 {
		t.Fatalf("docs/install.md has %d blocks %q", len(blocks), mark)
	}
	return blocks[0]
}

// readPage reads the page's manifests with Flux' own types; a field that those do not know fails.
func readPage(t *testing.T) (p page) {
	t.Helper()
	objects, err := render.Decode([]byte(block(t, "flux")))
	must(t, err)
	for _, o := range objects {
		var into any
		switch o.GetKind() + " " + o.GetName() {
		case "Namespace " + render.Namespace:
			p.namespace = o
			continue
		case "HelmRelease belfry":
			into = &p.release
		case "Kustomization belfry":
			into = &p.chart
		case "Kustomization belfry-addresses":
			into = &p.belong
		default:
			t.Fatalf("the page has a %s %s", o.GetKind(), o.GetName())
		}
		if group := strings.SplitAfter(o.GetAPIVersion(), "/")[0]; group != "helm.toolkit.fluxcd.io/" && group != "kustomize.toolkit.fluxcd.io/" {
			t.Errorf("%s is of %s", o.GetName(), o.GetAPIVersion())
		}
		b, err := yaml.Marshal(o.Object)
		must(t, err)
		if err := yaml.UnmarshalStrict(b, into); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	return p
}

// values returns a file of the release's values.
func (p page) values(t *testing.T) string {
	t.Helper()
	b, err := yaml.JSONToYAML(p.release.Spec.Values.Raw)
	must(t, err)
	file := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(file, b, 0o600))
	return file
}

// own returns a user's own objects.
func own(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	for _, name := range samples {
		b, err := os.ReadFile(filepath.Join(root(t), "config", "samples", name))
		must(t, err)
		more, err := render.Decode(b)
		must(t, err)
		objects = append(objects, more...)
	}
	return objects
}

// together builds the page's kustomization, with the sources for their own repository, and samples for the user's files.
func together(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	const remote = "https://github.com/belfry-lb/belfry//config/default?ref=main"
	text := block(t, "kustomization")
	dir := t.TempDir()
	local, err := filepath.Rel(dir, filepath.Join(root(t), "config", "default"))
	must(t, err)
	if !strings.Contains(text, remote) {
		t.Fatalf("it has no %s:\n%s", remote, text)
	}
	must(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(strings.Replace(text, remote, local, 1)), 0o600))
	for _, name := range samples {
		b, err := os.ReadFile(filepath.Join(root(t), "config", "samples", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	objects, err := render.Kustomize(t.Context(), dir)
	must(t, err)
	kinds := map[string]bool{}
	for _, o := range objects {
		kinds[o.GetKind()] = true
	}
	for _, kind := range []string{"CustomResourceDefinition", "DaemonSet", "IPAddressPool", "L2Advertisement", "BGPPeer"} {
		if !kinds[kind] {
			t.Errorf("the kustomization has no %s", kind)
		}
	}
	return objects
}

// TestPage: each says of the other what the controllers go by.
func TestPage(t *testing.T) {
	p := readPage(t)
	depends := fmt.Sprint(p.belong.Spec.DependsOn)
	if len(p.belong.Spec.DependsOn) != 1 || p.belong.Spec.DependsOn[0].Name != p.chart.Name {
		t.Errorf("own objects depend on %s, the release is of %s", depends, p.chart.Name)
	}
	if !p.chart.Spec.Wait || !p.belong.Spec.Wait {
		t.Error("who depends on a Kustomization that does not wait goes ahead when the HelmRelease is applied, and nothing installed")
	}
	if p.namespace == nil || p.release.Namespace != p.namespace.GetName() ||
		p.namespace.GetLabels()["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("the release is in %s, its namespace is %v", p.release.Namespace, p.namespace)
	}
	if _, err := os.Stat(filepath.Join(root(t), p.release.Spec.Chart.Spec.Chart, "Chart.yaml")); err != nil {
		t.Error(err)
	}
}
