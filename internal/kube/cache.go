package kube

import (
	"unique"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/cache"
)

// lastApplied is kubectl's own copy of the whole object; nothing here reads it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Slim is a cache transform: it drops what nobody here reads and what makes up half of an object's size,
// metadata.managedFields and kubectl's last-applied annotation. So an object from the cache must never be sent back
// whole: write with a patch that names its fields.
func Slim(o any) (any, error) {
	if _, gone := o.(cache.DeletedFinalStateUnknown); gone {
		return o, nil
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return o, nil //nolint:nilerr // not an API object: kept as it is
	}
	m.SetManagedFields(nil)
	if a := m.GetAnnotations(); a[lastApplied] != "" {
		delete(a, lastApplied)
		m.SetAnnotations(a)
	}
	return o, nil
}

// One lets equal words in many cached objects share one copy.
func One[T ~string](word T) T { return unique.Make(word).Value() }
