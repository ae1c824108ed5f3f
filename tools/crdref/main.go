// Command crdref writes a page of reference for each CustomResourceDefinition. Usage: crdref FROM TO (two directories).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: crdref FROM TO")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "crdref:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(b, &crd); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		name := filepath.Join(to, strings.ToLower(crd.Spec.Names.Kind)+".md")
		if err := os.WriteFile(name, []byte(page(&crd)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// page is the reference of one kind.
func page(crd *apiextensionsv1.CustomResourceDefinition) string {
	var w strings.Builder
	names, version := crd.Spec.Names, crd.Spec.Versions[0]
	root := version.Schema.OpenAPIV3Schema
	scope := "of the cluster"
	if crd.Spec.Scope == apiextensionsv1.NamespaceScoped {
		scope = "of a namespace"
	}
	fmt.Fprintf(&w, "<!-- Generated from api/ by make generate: edit there. -->\n\n# %s\n\n%s\n\n", names.Kind, text(root.Description))
	fmt.Fprintf(&w, "An object %s. `apiVersion: %s/%s`", scope, crd.Spec.Group, version.Name)
	if len(names.ShortNames) > 0 {
		fmt.Fprintf(&w, "; `kubectl get %s`", names.ShortNames[0])
	}
	w.WriteString(".\n")
	for _, part := range []string{"spec", "status"} {
		if p, ok := root.Properties[part]; ok {
			fmt.Fprintf(&w, "\n## %s\n\n", part)
			rules(&w, p)
			w.WriteString("| field | type | meaning |\n|---|---|---|\n")
			rows(&w, "", p)
		}
	}
	return w.String()
}

// rows lists the fields of an object and, below each, the fields that it has itself.
func rows(w *strings.Builder, prefix string, p apiextensionsv1.JSONSchemaProps) {
	fields := make([]string, 0, len(p.Properties))
	for name := range p.Properties {
		fields = append(fields, name)
	}
	slices.Sort(fields)
	for _, name := range fields {
		f := p.Properties[name]
		path := prefix + name
		required := ""
		if slices.Contains(p.Required, name) {
			required = ", required"
		}
		fmt.Fprintf(w, "| `%s` | %s%s | %s |\n", path, kind(f), required, cell(f))
		switch {
		case known(f):
		case f.Type == "object":
			rows(w, path+".", f)
		case f.Type == "array" && f.Items != nil && !known(*f.Items.Schema):
			rows(w, path+"[].", *f.Items.Schema)
		}
	}
}

// known tells that people know the type: its fields need not be listed.
func known(f apiextensionsv1.JSONSchemaProps) bool {
	_, selector := f.Properties["matchLabels"]
	_, condition := f.Properties["lastTransitionTime"]
	return selector || condition
}

func kind(f apiextensionsv1.JSONSchemaProps) string {
	_, selector := f.Properties["matchLabels"]
	_, condition := f.Properties["lastTransitionTime"]
	switch {
	case selector:
		return "label selector"
	case condition:
		return "condition"
	case f.Type == "array":
		return "list of " + kind(*f.Items.Schema)
	case len(f.Enum) > 0:
		var values []string
		for _, v := range f.Enum {
			values = append(values, "`"+strings.Trim(string(v.Raw), `"`)+"`")
		}
		return strings.Join(values, ", ")
	case f.Format == "date-time":
		return "time"
	}
	return f.Type
}

func cell(f apiextensionsv1.JSONSchemaProps) string {
	s := strings.ReplaceAll(text(f.Description), "|", `\|`)
	var limits []string
	if f.Default != nil {
		limits = append(limits, "default `"+string(f.Default.Raw)+"`")
	}
	if f.Minimum != nil {
		limits = append(limits, fmt.Sprintf("at least %.0f", *f.Minimum))
	}
	if f.Maximum != nil {
		limits = append(limits, fmt.Sprintf("at most %.0f", *f.Maximum))
	}
	if f.MinItems != nil && *f.MinItems > 0 {
		limits = append(limits, fmt.Sprintf("at least %d", *f.MinItems))
	}
	if f.MaxItems != nil {
		limits = append(limits, fmt.Sprintf("at most %d", *f.MaxItems))
	}
	if len(limits) > 0 {
		s += " (" + strings.Join(limits, ", ") + ")"
	}
	return s
}

// rules says what the API server refuses of the object as a whole.
func rules(w *strings.Builder, p apiextensionsv1.JSONSchemaProps) {
	for _, r := range p.XValidations {
		if r.Message != "" {
			fmt.Fprintf(w, "- %s\n", r.Message)
		}
	}
	if len(p.XValidations) > 0 {
		w.WriteString("\n")
	}
}

// text puts a description on one line.
func text(s string) string { return strings.Join(strings.Fields(s), " ") }
