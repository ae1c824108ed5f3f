package migrate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestGuard(t *testing.T) {
	label := map[string]any{"belfry.dev/migrated": "true"}
	expressions := []any{map[string]any{"key": "a", "operator": "Exists"}}
	for _, tc := range []struct {
		name     string
		in, want []any
	}{
		{"all nodes", nil, []any{map[string]any{"matchLabels": label}}},
		{"none given", []any{}, []any{map[string]any{"matchLabels": label}}},
		{"each selector", []any{map[string]any{"matchLabels": map[string]any{"rack": "r1"}}, map[string]any{"matchExpressions": expressions}}, []any{
			map[string]any{"matchLabels": map[string]any{"rack": "r1", "belfry.dev/migrated": "true"}},
			map[string]any{"matchExpressions": expressions, "matchLabels": label},
		}},
	} {
		in := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"myASN": int64(1)}}}
		if tc.in != nil {
			in.Object["spec"].(map[string]any)["nodeSelectors"] = tc.in
		}
		before := in.DeepCopy()
		out := Guard(in)
		got, _, _ := unstructured.NestedSlice(out.Object, "spec", "nodeSelectors")
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if Guarded(in) || !Guarded(out) {
			t.Errorf("%s: guarded before: %v, after: %v", tc.name, Guarded(in), Guarded(out))
		}
		if diff := cmp.Diff(before, in); diff != "" {
			t.Errorf("%s: the input was changed: %s", tc.name, diff)
		}
	}
}
