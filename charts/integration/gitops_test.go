package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/charts/render"
)

// block returns the YAML block of docs/install.md that is marked with that word.
func block(t *testing.T, mark string) []byte {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := render.Blocks(string(b), "yaml "+mark)
	if len(blocks) == 0 {
		t.Fatalf("docs/install.md has no block %q", mark)
	}
	return []byte(blocks[0])
}

// page returns the objects of a block.
func page(t *testing.T, mark string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := render.Decode(block(t, mark))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// synced is what one sync holds: the chart with values, as Argo CD renders it, and a user's own objects, in any order.
func synced(t *testing.T, values any) []*unstructured.Unstructured {
	t.Helper()
	b, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := render.Helm(t.Context(), "template", render.Release, "charts/belfry", "--namespace", render.Namespace,
		"--kube-version", render.KubernetesVersion, "--no-hooks", "-f", file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pool.yaml", "l2advertisement.yaml"} {
		b, err := os.ReadFile(filepath.Join(root, "config", "samples", name))
		if err != nil {
			t.Fatal(err)
		}
		out = slices.Concat(b, []byte("\n---\n"), out) // the user's come first: the tool has to order them
	}
	objects, err := render.Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if strings.HasSuffix(o.GetKind(), "WebhookConfiguration") {
			t.Errorf("%s %s: an object that is applied before its server is there would be refused", o.GetKind(), o.GetName())
		}
	}
	return objects
}

// apply is a server-side apply, as the tool does it.
func apply(ctx context.Context, c client.Client, o *unstructured.Unstructured, opts ...client.ApplyOption) (*unstructured.Unstructured, error) {
	o = o.DeepCopy()
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), append(opts, client.FieldOwner("sync"), client.ForceOwnership)...)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return o, nil
}

func isCRD(o *unstructured.Unstructured) bool { return o.GetKind() == "CustomResourceDefinition" }

// ours tells whether the object is of a kind that the chart's CRDs make.
func ours(o *unstructured.Unstructured) bool {
	return strings.HasPrefix(o.GetAPIVersion(), "belfry.dev/")
}

func namespace(t *testing.T, c *cluster) {
	t.Helper()
	if err := c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: render.Namespace}}); err != nil {
		t.Fatal(err)
	}
}

// steady: a sync must find nothing to do in the end, or the tools would never call the cluster synced. The API server writes
// what it makes of a new CRD by and by.
func steady(t *testing.T, c *cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		eventually(t, "a sync that changes nothing", func(ctx context.Context) error {
			first, err := apply(ctx, c.client, o)
			if err != nil {
				return err
			}
			second, err := apply(ctx, c.client, o)
			if err == nil && first.GetResourceVersion() != second.GetResourceVersion() {
				err = fmt.Errorf("%s %s changes with every sync", o.GetKind(), o.GetName())
			}
			return err
		})
	}
}

// TestArgoCD: dry runs of all but what the sync's own CRDs make, then all in the order of kinds, custom resources last,
// tried again where a kind is not served yet. This is the short form of what tools/gitops/argocd does with Argo CD's own code.
func TestArgoCD(t *testing.T) {
	application := page(t, "argocd")[0]
	sources, _, err := unstructured.NestedSlice(application.Object, "spec", "sources")
	if err != nil || len(sources) != 2 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	values, found, err := unstructured.NestedMap(sources[0].(map[string]any), "helm", "valuesObject")
	if err != nil || !found || sources[0].(map[string]any)["path"] != "charts/belfry" {
		t.Fatalf("the first source is %v, %v", sources[0], err)
	}
	objects := synced(t, values)
	c := start(t)
	namespace(t, c)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	for _, o := range objects {
		if ours(o) {
			continue
		}
		if _, err := apply(t.Context(), c.client, o, client.DryRunAll); err != nil {
			t.Errorf("dry run: %v", err)
		}
	}
	for _, o := range objects {
		eventually(t, "applying "+o.GetKind(), func(ctx context.Context) error {
			_, err := apply(ctx, c.client, o)
			return err
		})
	}
	steady(t, c, objects)
}

// rank is where a kind comes in Argo CD's order, as far as it matters here.
func rank(o *unstructured.Unstructured) int {
	switch {
	case isCRD(o):
		return 0
	case ours(o):
		return 2
	}
	return 1
}

// TestValuesOfThePage: the page's values are values of the chart.
func TestValuesOfThePage(t *testing.T) {
	var values map[string]any
	if err := yaml.UnmarshalStrict(block(t, "values"), &values); err != nil {
		t.Fatal(err)
	}
	if objects := synced(t, values); len(objects) < 20 {
		t.Errorf("%d objects", len(objects))
	}
}
