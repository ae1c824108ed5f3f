package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
)

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

// TestOverlays applies each directory of config/, as the comment at its top tells, and one of a user's own.
func TestOverlays(t *testing.T) {
	c := start(t)
	namespace(t, c)
	c.create(t, []byte(operator))
	for _, tt := range []struct {
		dir   string
		kinds string // that must be among its objects
	}{
		{"config/crd", "CustomResourceDefinition"},
		{"config/rbac", "ClusterRole ClusterRoleBinding Role RoleBinding ServiceAccount ValidatingAdmissionPolicy"},
		{"config/default", "ClusterRole CustomResourceDefinition DaemonSet Deployment Namespace PodDisruptionBudget"},
		{"config/monitoring", "ConfigMap PodMonitor PrometheusRule"},
		{"config/samples", "IPAddressPool L2Advertisement"},
		{own(t), "DaemonSet Deployment Namespace"},
	} {
		t.Run(tt.dir, func(t *testing.T) {
			objects, err := render.Kustomize(t.Context(), tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			has := map[string]bool{}
			for _, o := range objects {
				has[o.GetKind()] = true
				eventually(t, "applying "+o.GetKind(), func(ctx context.Context) error {
					_, err := apply(ctx, c.client, o)
					return err
				})
			}
			for kind := range strings.FieldsSeq(tt.kinds) {
				if !has[kind] {
					t.Errorf("it has no %s", kind)
				}
			}
			steady(t, c, objects)
		})
	}
	for kind, name := range map[string]string{"Deployment": "belfry-controller", "DaemonSet": "belfry-speaker"} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("apps/v1")
		o.SetKind(kind)
		o.SetNamespace(render.Namespace)
		o.SetName(name)
		if got := imagesOf(t, c, o); !slices.Equal(got, []string{"registry.example.com/belfry:v7"}) {
			t.Errorf("%s %s runs %v", kind, name, got)
		}
	}
}

// own writes a user's overlay, with another image and one argument more.
func own(t *testing.T) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	base, err := filepath.Rel(dir, filepath.Join(root, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	text := `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [` + base + `]
images:
- {name: ghcr.io/belfry-lb/belfry, newName: registry.example.com/belfry, newTag: v7}
patches:
- target: {kind: DaemonSet, name: belfry-speaker}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --exclude-interfaces=wg0}
`
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func imagesOf(t *testing.T, c *cluster, o *unstructured.Unstructured) (images []string) {
	t.Helper()
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range containers {
		images = append(images, x.(map[string]any)["image"].(string))
	}
	return images
}
