package cli

import (
	"encoding/json"
	"net/netip"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

type (
	addr     = netip.Addr
	assigned = alloc.Assigned
)

// remember writes down on a DaemonSet what it was, and where its Pods run or ran.
func remember(d *appsv1.DaemonSet, b before, running []string) {
	b.Nodes = append(slices.Clone(b.Nodes), running...)
	slices.Sort(b.Nodes)
	b.Nodes = slices.Compact(b.Nodes)
	text, err := json.Marshal(b)
	must(err)
	set(&d.Annotations, v1beta1.AnnotationMigrateBefore, string(text))
}

// shunning adds to an affinity that Pods do not run on nodes which have changed over. Terms stand for one another, so
// each gets it.
func shunning(a *corev1.Affinity) *corev1.Affinity {
	if a = a.DeepCopy(); a == nil {
		a = &corev1.Affinity{}
	}
	if a.NodeAffinity == nil {
		a.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := &a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if *required == nil {
		*required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	for i := range (*required).NodeSelectorTerms {
		t := &(*required).NodeSelectorTerms[i]
		shuns := slices.ContainsFunc(t.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool { return r.Key == v1beta1.LabelMigrating })
		if !shuns {
			t.MatchExpressions = append(t.MatchExpressions, corev1.NodeSelectorRequirement{Key: v1beta1.LabelMigrating, Operator: corev1.NodeSelectorOpDoesNotExist})
		}
	}
	return a
}

func set(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// mergePatch sets some of an object's metadata; what is nil goes.
func mergePatch(metadata map[string]any) (client.Patch, error) {
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	return client.RawPatch(types.MergePatchType, body), err
}
