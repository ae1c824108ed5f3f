package migrate

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Guard returns a copy of a BGPPeer that selects, of the nodes that it selected, those that have changed over.
func Guard(peer *unstructured.Unstructured) *unstructured.Unstructured {
	out := peer.DeepCopy()
	old := selectors(out)
	if len(old) == 0 {
		old = []map[string]any{{}}
	}
	list := make([]any, len(old))
	for i, s := range old {
		s = maps.Clone(s)
		labels, _ := s["matchLabels"].(map[string]any)
		if labels = maps.Clone(labels); labels == nil {
			labels = map[string]any{}
		}
		labels[v1beta1.LabelMigrated] = "true"
		s["matchLabels"] = labels
		list[i] = s
	}
	spec, _ := out.Object["spec"].(map[string]any)
	spec = maps.Clone(spec)
	if spec == nil {
		spec = map[string]any{}
	}
	spec["nodeSelectors"] = list
	out.Object["spec"] = spec
	return out
}

// Guarded tells whether a BGPPeer selects only nodes that have changed over.
func Guarded(peer *unstructured.Unstructured) bool {
	list := selectors(peer)
	return len(list) > 0 && !slices.ContainsFunc(list, func(s map[string]any) bool {
		labels, _ := s["matchLabels"].(map[string]any)
		return labels[v1beta1.LabelMigrated] != "true"
	})
}

func selectors(peer *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedSlice(peer.Object, "spec", "nodeSelectors")
	return objects(list)
}
