package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

func TestPoolReady(t *testing.T) {
	broken := objectFacts{problem: &spec.Problem{Reason: spec.ReasonOverlap, Message: "overlaps pool b"}}
	for _, c := range []struct {
		name   string
		facts  poolFacts
		status metav1.ConditionStatus
		reason string
		want   string
	}{
		{"all well", poolFacts{}, "True", "Valid", "its addresses may be assigned"},
		{"disabled", poolFacts{disabled: true}, "True", "Valid", "it is disabled: nothing new is assigned, and who holds an address keeps it"},
		{"shrunk", poolFacts{usage: alloc.Usage{Outside: 1}}, "True", "Valid", "its addresses may be assigned; still held outside of its ranges: 1"},
		{"broken", poolFacts{objectFacts: broken}, "False", "Overlap", "overlaps pool b"},
		{"broken and in use", poolFacts{objectFacts: broken, usage: alloc.Usage{Outside: 2}}, "False", "Overlap", "overlaps pool b; still held: 2"},
	} {
		got := c.facts.ready()
		if got.Status != c.status || got.Reason != c.reason || got.Message != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestPoolNews: a problem is told once, however many leave the pool meanwhile.
func TestPoolNews(t *testing.T) {
	f := poolFacts{objectFacts: objectFacts{problem: &spec.Problem{Reason: spec.ReasonOverlap, Message: "overlaps pool b"}}, usage: alloc.Usage{Outside: 2}}
	first := f.ready()
	if got := f.news(nil, first); len(got) != 1 {
		t.Errorf("told %v of a new problem", got)
	}
	f.usage.Outside = 1
	if got := f.news(&first, f.ready()); got != nil {
		t.Errorf("told %v when somebody left", got)
	}
	f.problem = &spec.Problem{Reason: spec.ReasonOverlap, Message: "overlaps pool c"}
	if got := f.news(&first, f.ready()); len(got) != 1 {
		t.Errorf("told %v of another problem", got)
	}
}
