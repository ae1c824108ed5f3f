package cli

import (
	"context"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
)

// crds compares each of our kinds with what the API server knows of it.
func (c *cluster) crds(ctx context.Context) (out []explain.CRD, _ error) {
	for _, gvk := range c.ownKinds() {
		crd, err := c.crd(ctx, gvk, c.scheme.AllKnownTypes()[gvk])
		if err != nil {
			return nil, err
		}
		out = append(out, crd)
	}
	slices.SortFunc(out, func(a, b explain.CRD) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (c *cluster) crd(ctx context.Context, gvk schema.GroupVersionKind, t reflect.Type) (explain.CRD, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return explain.CRD{}, err
	}
	out := explain.CRD{Name: mapping.Resource.GroupResource().String()}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(crdKind())
	err = c.client.Get(ctx, types.NamespacedName{Name: out.Name}, o)
	if apierrors.IsNotFound(err) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Found = true
	out.Missing = missingFields(t, schemaOf(o, gvk.Version), "")
	return out, nil
}

// schemaOf returns the properties of a version.
func schemaOf(o *unstructured.Unstructured, version string) map[string]any {
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	for _, v := range versions {
		if m, ok := v.(map[string]any); ok && m["name"] == version {
			s, _, _ := unstructured.NestedMap(m, "schema", "openAPIV3Schema")
			return s
		}
	}
	return nil
}

// missingFields lists the fields of our own types that a schema does not have.
func missingFields(t reflect.Type, s map[string]any, path string) (missing []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			s, _ = s["items"].(map[string]any)
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[v1beta1.IPAddressPool]().PkgPath() {
		return nil
	}
	properties, _ := s["properties"].(map[string]any)
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "metadata" {
			continue
		}
		inner, has := properties[name].(map[string]any)
		at := strings.TrimPrefix(path+"."+name, ".")
		if !has {
			missing = append(missing, at)
			continue
		}
		missing = append(missing, missingFields(field.Type, inner, at)...)
	}
	return missing
}
