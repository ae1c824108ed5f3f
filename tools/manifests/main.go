// Command manifests writes the objects of the chart, as helm renders them with its defaults, into the directories of
// config/ that kustomize builds from. Usage: manifests CONFIG <rendered.yaml
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manifests CONFIG <rendered.yaml")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(rendered io.Reader, config string) error {
	files := map[string]*bytes.Buffer{}
	d := yaml.NewYAMLOrJSONDecoder(rendered, 4096)
	for {
		var o unstructured.Unstructured
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		file, err := fileOf(&o)
		if err != nil {
			return err
		}
		if file == "" {
			continue
		}
		if files[file] == nil {
			files[file] = bytes.NewBufferString("# Generated from charts/belfry by make generate: edit there.\n")
		}
		if err := write(files[file], &o); err != nil {
			return err
		}
	}
	for name, content := range files {
		path := filepath.Join(config, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content.Bytes(), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// fileOf says where an object goes; "": nowhere. What helm makes for a while only is left out, and so are CRDs, of which
// config/crd has the originals.
func fileOf(o *unstructured.Unstructured) (string, error) {
	if len(o.Object) == 0 || o.GetAnnotations()["helm.sh/hook"] != "" {
		return "", nil
	}
	switch o.GetKind() {
	case "CustomResourceDefinition":
		return "", nil
	case "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
		return "rbac/rbac.yaml", nil
	case "Deployment", "PodDisruptionBudget":
		return "default/controller.yaml", nil
	case "DaemonSet":
		return "default/speaker.yaml", nil
	case "PodMonitor":
		return "monitoring/podmonitors.yaml", nil
	case "PrometheusRule":
		return "monitoring/alerts.yaml", nil
	case "ConfigMap":
		return "monitoring/dashboard.yaml", nil
	}
	return "", fmt.Errorf("%s %s: no file of config/ is for that kind", o.GetKind(), o.GetName())
}

// write appends the object without what only helm says about it.
func write(w *bytes.Buffer, o *unstructured.Unstructured) error {
	labels := o.GetLabels()
	delete(labels, "helm.sh/chart")
	delete(labels, "app.kubernetes.io/managed-by")
	o.SetLabels(labels)
	b, err := sigsyaml.Marshal(o.Object)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "---\n%s\n", strings.TrimSpace(string(b)))
	return nil
}
