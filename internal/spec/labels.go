package spec

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Labels are those of an object, by key. They take a quarter of the room of a map, and of Services there may be many.
type Labels []Label

// Label is a key and its value.
type Label struct{ Key, Value string }

var _ labels.Labels = Labels(nil)

// NewLabels returns the labels of a map.
func NewLabels(of map[string]string) Labels {
	if len(of) == 0 {
		return nil
	}
	l := make(Labels, 0, len(of))
	for key, value := range of {
		l = append(l, Label{key, value})
	}
	slices.SortFunc(l, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return l
}

// Lookup returns the value of a label and whether there is one.
func (l Labels) Lookup(key string) (value string, exists bool) {
	i, found := slices.BinarySearchFunc(l, key, func(l Label, key string) int { return strings.Compare(l.Key, key) })
	if !found {
		return "", false
	}
	return l[i].Value, true
}

// Has tells whether there is a label.
func (l Labels) Has(key string) bool {
	_, has := l.Lookup(key)
	return has
}

// Get returns the value of a label, "" if there is none.
func (l Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}
