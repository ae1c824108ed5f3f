package charts_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/belfry-lb/belfry/charts/render"
)

// TestInstallManifest: config/install.yaml is what the chart installs, but for what only helm needs, and a Namespace that
// lets the speakers in.
func TestInstallManifest(t *testing.T) {
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "config", "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	installed, err := render.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	rendered := slices.DeleteFunc(chart(t), func(o *unstructured.Unstructured) bool { return o.GetAnnotations()["helm.sh/hook"] != "" })
	if diff := cmp.Diff(byName(rendered), byName(installed)); diff != "" {
		t.Errorf("(-chart +config/install.yaml):\n%s", diff)
	}
	i := slices.IndexFunc(installed, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" })
	if i < 0 || installed[i].GetName() != render.Namespace || installed[i].GetLabels()["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Error("there is no Namespace for it")
	}
}

// byName returns all but Namespaces, without helm's marks.
func byName(objects []*unstructured.Unstructured) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			continue
		}
		o = o.DeepCopy()
		labels, annotations := o.GetLabels(), o.GetAnnotations()
		maps.DeleteFunc(labels, func(k, _ string) bool { return k == "helm.sh/chart" || k == "app.kubernetes.io/managed-by" })
		delete(annotations, "helm.sh/resource-policy")
		o.SetLabels(labels)
		o.SetAnnotations(annotations)
		out[o.GetKind()+"/"+o.GetName()] = o.Object
	}
	return out
}
