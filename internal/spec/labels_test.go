package spec

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

// TestLabelsTwin: selectors find the same in a map and in the list that is made of it.
func TestLabelsTwin(t *testing.T) {
	sets := []labels.Set{nil, {}, {"a": "1"}, {"a": ""}, {"b": "2", "a": "1"}, {"c": "x", "a": "3", "b": "1"}}
	matched := 0
	for _, text := range []string{"", "a", "!a", "a=1", "a!=1", "a=", "b in (1,2)", "b notin (2)", "a>2", "a,b,c", "a=1,b=2"} {
		s, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range sets {
			want, l := s.Matches(set), NewLabels(set)
			if s.Matches(l) != want {
				t.Errorf("%q matches %v: %t, want %t", text, l, !want, want)
			}
			if l.Get("a") != set["a"] || len(l) != len(set) {
				t.Errorf("%v became %v", set, l)
			}
			if want {
				matched++
			}
		}
	}
	if matched < 20 {
		t.Errorf("only %d matched", matched)
	}
}
