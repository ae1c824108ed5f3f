package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
)

// TestUpgradeBringsCRDs: a release of an older chart gets the new kinds with `helm upgrade`, and the old with `helm rollback`.
func TestUpgradeBringsCRDs(t *testing.T) {
	const newName, oldName = "l2adv", "l2old"
	c := start(t)
	c.helm(t, "install", render.Release, olderChart(t, newName, oldName), "--create-namespace")
	c.knows(t, oldName)
	c.helm(t, "upgrade", render.Release, "charts/belfry")
	c.knows(t, newName)
	c.helm(t, "rollback", render.Release)
	c.knows(t, oldName)
}

// olderChart returns a copy of the chart in which L2Advertisements have another short name.
func olderChart(t *testing.T, newName, oldName string) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "belfry")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "charts", "belfry"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "templates", "crds", "belfry.dev_l2advertisements.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	older := strings.Replace(string(b), "    - "+newName+"\n", "    - "+oldName+"\n", 1)
	if older == string(b) {
		t.Fatalf("%s has no short name %s", file, newName)
	}
	if err := os.WriteFile(file, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// knows waits until the API server has L2Advertisements with that short name.
func (c *cluster) knows(t *testing.T, short string) {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	eventually(t, "the short name "+short, func(ctx context.Context) error {
		if err := c.client.Get(ctx, client.ObjectKey{Name: "l2advertisements.belfry.dev"}, crd); err != nil {
			return err
		}
		names, _, err := unstructured.NestedStringSlice(crd.Object, "spec", "names", "shortNames")
		if err == nil && (len(names) != 1 || names[0] != short) {
			err = fmt.Errorf("it has %v", names)
		}
		return err
	})
}
