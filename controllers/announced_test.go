package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestAnnouncedCondition: what the condition becomes, from what it is and what is said.
func TestAnnouncedCondition(t *testing.T) {
	then, now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	is := func(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
		return &metav1.Condition{Type: v1beta1.ConditionAnnounced, Status: status, Reason: reason, Message: message,
			ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(then)}
	}
	later := func(c *metav1.Condition) *metav1.Condition {
		c.ObservedGeneration, c.LastTransitionTime = 2, metav1.NewTime(now)
		return c
	}
	yes := func(words string) announcement { return announcement{"u", true, reasonAnnounced, words} }
	no := func(words string) announcement { return announcement{"u", false, "NoNode", words} }
	moved := is("True", "Announced", "by node n2")
	moved.ObservedGeneration = 2
	for _, c := range []struct {
		name   string
		old    *metav1.Condition
		said   announcement
		holds  bool
		want   *metav1.Condition
		events int
	}{
		{"nothing was said yet", nil, announcement{}, true, nil, 0},
		{"nothing was said yet by this leader", is("True", "Announced", "by node n1"), announcement{}, true, is("True", "Announced", "by node n1"), 0},
		{"said of another of this name", nil, announcement{"old", true, reasonAnnounced, "by node n1"}, true, nil, 0},
		{"first", nil, yes("by node n1"), true, later(is("True", "Announced", "by node n1")), 1},
		{"the same", is("True", "Announced", "by node n1"), yes("by node n1"), true, is("True", "Announced", "by node n1"), 0},
		{"the owner moves", is("True", "Announced", "by node n1"), yes("by node n2"), true, moved, 1},
		{"no longer", is("True", "Announced", "by node n1"), no("192.0.2.1: no node: 2 NoSpeaker"), true, later(is("False", "NoNode", "192.0.2.1: no node: 2 NoSpeaker")), 1},
		{"other nodes are no news", is("False", "NoNode", "192.0.2.1: no node: 2 NoSpeaker"), no("192.0.2.1: no node: 1 NoSpeaker"), true, is("False", "NoNode", "192.0.2.1: no node: 2 NoSpeaker"), 0},
		{"another address is", is("False", "NoNode", "192.0.2.1: no node"), no("192.0.2.2: no node"), true,
			func() *metav1.Condition {
				c := is("False", "NoNode", "192.0.2.2: no node")
				c.ObservedGeneration = 2
				return c
			}(), 1},
		{"without addresses", is("True", "Announced", "by node n1"), yes("by node n1"), false, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{UID: "u", Generation: 2}}
			if c.old != nil {
				s.Status.Conditions = []metav1.Condition{*c.old}
			}
			got := c.said.announcedOn(s, c.holds, now)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if news := announcedNews(s.Status.Conditions, got); len(news) != c.events {
				t.Errorf("events %+v", news)
			}
		})
	}
}

// TestAnnouncedPatch: a change of who announces is one patch of its own, sent after all others; with a change of the
// addresses it is in that one, and then it also says that it holds for the present generation.
func TestAnnouncedPatch(t *testing.T) {
	allocated := metav1.Condition{Type: v1beta1.ConditionAllocated, Status: "True", Reason: "Allocated", ObservedGeneration: 2}
	older := allocated
	older.ObservedGeneration = 1
	one := metav1.Condition{Type: v1beta1.ConditionAnnounced, Status: "True", Reason: "Announced", Message: "by node n1", ObservedGeneration: 1}
	two := one
	two.Message = "by node n2"
	foreign := metav1.Condition{Type: "example.com/other", Status: "True"}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	s.Status.Conditions = []metav1.Condition{foreign, allocated, one}
	if _, differs := diff(s, desired{condition: &allocated, announced: &one}); differs {
		t.Error("a write though nothing differs")
	}
	p, differs := diff(s, desired{condition: &allocated, announced: &two})
	if !differs || !p.announces {
		t.Errorf("the owner moves: %v, announces only %v", differs, p.announces)
	}
	s.Status.Conditions[1] = older
	if p, differs = diff(s, desired{condition: &allocated, announced: &one}); !differs || p.announces {
		t.Errorf("Allocated changes: %v, announces only %v", differs, p.announces)
	}
	list, _ := conditionsOf(s, desired{condition: &allocated, announced: &one})
	fresh := one
	fresh.ObservedGeneration = 2
	if diff := cmp.Diff([]metav1.Condition{foreign, allocated, fresh}, list); diff != "" {
		t.Error(diff)
	}
	if list, _ = conditionsOf(s, desired{}); !cmp.Equal(list, []metav1.Condition{foreign}) {
		t.Errorf("nothing of ours is to be left: %+v", list)
	}
}

// TestOutboxAnnouncesLast: what assigns goes first, whatever came first.
func TestOutboxAnnouncesLast(t *testing.T) {
	b := newOutbox()
	for _, p := range []patch{{key: named("a"), announces: true}, {key: named("b"), announces: true}, {key: named("c")}, {key: named("d")}} {
		b.put(p)
	}
	b.put(patch{key: named("b")}) // it has to say more by now
	b.put(patch{key: named("d"), announces: true})
	var got []string
	for range 4 {
		if b.waiting() != (len(got) < 2) {
			t.Errorf("after %v: waiting is %v", got, b.waiting())
		}
		p, _ := b.next(false)
		got = append(got, p.key.Name)
	}
	if diff := cmp.Diff([]string{"c", "b", "a", "d"}, got); diff != "" {
		t.Error(diff)
	}
}
