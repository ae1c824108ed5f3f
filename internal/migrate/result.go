package migrate

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Result is what becomes of a configuration.
type Result struct {
	// Objects of ours, in the order in which they can be applied.
	Objects []*unstructured.Unstructured
	// Secrets that our objects name, and that must be copied into Belfry's namespace.
	Secrets []Secret
	// Values for the chart, by path ("speaker.failover").
	Values map[string]any
	// Notes on everything that changes its meaning or has no counterpart, by source.
	Notes []Note
}

// Secret is one to copy into Belfry's namespace, under the same name.
type Secret struct{ Namespace, Name string }

// Level says what a Note asks of the reader.
type Level string

// The levels.
const (
	// Rewritten: the same meaning in other words; nothing to do.
	Rewritten Level = "rewritten"
	// Changed: Belfry behaves differently here.
	Changed Level = "changed"
	// Lost: there is no counterpart.
	Lost Level = "lost"
	// Unreadable: it could not be understood and was left out.
	Unreadable Level = "unreadable"
)

// Note is something to know about one object of the source.
type Note struct {
	Level  Level
	Object string // "BGPPeer metallb-system/tor-1", "ConfigMap metallb-system/config"
	Field  string // path of the field; "": the whole object
	Text   string
}

// String is the note as a line.
func (n Note) String() string {
	if n.Field == "" {
		return fmt.Sprintf("%s: %s: %s", n.Level, n.Object, n.Text)
	}
	return fmt.Sprintf("%s: %s: %s: %s", n.Level, n.Object, n.Field, n.Text)
}

// kinds of ours, in the order in which they are applied: what others name comes first.
func order(kind string) int {
	return slices.Index([]string{"BFDProfile", "Community", "IPAddressPool", "BGPPeer", "L2Advertisement", "BGPAdvertisement"}, kind)
}

// put adds an object of ours. A second one of the same kind and name gets a name of its own, because ours have no
// namespaces. It returns the name.
func (r *Result) put(source, kind, name string, labels map[string]string, spec map[string]any) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(r.Objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	}
	free := name
	for i := 2; taken(free); i++ {
		free = fmt.Sprintf("%s-%d", name, i)
	}
	if free != name {
		r.note(Changed, source, "metadata.name", fmt.Sprintf("is now called %s: kinds of Belfry have no namespaces, and the name was taken", free))
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1beta1.GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": free}, "spec": spec,
	}}
	if len(labels) > 0 {
		o.SetLabels(labels)
	}
	r.Objects = append(r.Objects, o)
	return free
}

func (r *Result) note(level Level, object, field, text string) {
	n := Note{level, object, field, text}
	if !slices.Contains(r.Notes, n) {
		r.Notes = append(r.Notes, n)
	}
}

func (r *Result) value(path string, v any) {
	if r.Values == nil {
		r.Values = map[string]any{}
	}
	r.Values[path] = v
}

func (r *Result) secret(namespace, name string) {
	if s := (Secret{namespace, name}); !slices.Contains(r.Secrets, s) {
		r.Secrets = append(r.Secrets, s)
	}
}

func (r *Result) sort() {
	slices.SortStableFunc(r.Objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(order(a.GetKind())-order(b.GetKind()), cmp.Compare(a.GetName(), b.GetName()))
	})
	slices.SortFunc(r.Secrets, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
