package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Reasons of a pool's conditions, besides those of its problems.
const (
	// reasonOverlapsCluster: the pool is in use but for addresses that the cluster uses itself.
	reasonOverlapsCluster = "OverlapsCluster"
	// reasonNoneFree: the pool has no free address of some family.
	reasonNoneFree = "NoneFree"
	// reasonSomeFree: the pool has free addresses.
	reasonSomeFree = "SomeFree"
	// reasonNotKnown: the pool is in use, and was not checked against what the cluster uses itself, for that is not known.
	reasonNotKnown = "ClusterCIDRsNotKnown"
)

// endless is the number of addresses from which on they are not counted for people.
const endless = 1 << 40

// status returns what the status of the pool is to say, with the conditions that it has.
func (f poolFacts) status(was v1beta1.IPAddressPoolStatus) v1beta1.IPAddressPoolStatus {
	s := v1beta1.IPAddressPoolStatus{
		ObservedGeneration: f.generation,
		AssignedIPv4:       f.usage.AssignedIPv4, AssignedIPv6: f.usage.AssignedIPv6,
		AvailableIPv4: f.usage.AvailableIPv4, AvailableIPv6: f.usage.AvailableIPv6,
		Outside:    f.usage.Outside,
		Assigned:   f.inWords(f.usage.AssignedIPv4, f.usage.AssignedIPv6),
		Available:  f.inWords(f.usage.AvailableIPv4, f.usage.AvailableIPv6),
		Conditions: slices.Clone(was.Conditions),
	}
	for _, x := range f.freed {
		s.Freed = append(s.Freed, v1beta1.FreedAddress{Address: x.Addr.String(), At: metav1.NewTime(x.At)})
	}
	return s
}

func (f poolFacts) has(family spec.Family) bool {
	return slices.ContainsFunc(f.ranges, func(r spec.Range) bool { return r.Family() == family })
}

func (f poolFacts) inWords(four, six int64) string {
	number := func(n int64) string {
		if n >= endless {
			return "∞"
		}
		return strconv.FormatInt(n, 10)
	}
	switch has4, has6 := f.has(spec.IPv4), f.has(spec.IPv6); {
	case has4 && has6:
		return "v4 " + number(four) + ", v6 " + number(six)
	case has6:
		return number(six)
	case has4:
		return number(four)
	}
	return ""
}

func (f poolFacts) ready() metav1.Condition {
	words := "its addresses may be assigned"
	if f.disabled {
		words = "it is disabled: nothing new is assigned, and who holds an address keeps it"
	}
	c := ready(f.objectFacts, words)
	switch n := f.usage.Outside; {
	case n > 0 && f.problem == nil:
		c.Message += fmt.Sprintf("; still held outside of its ranges: %d", n)
	case n > 0:
		c.Message += fmt.Sprintf("; still held: %d", n)
	}
	if f.problem == nil && len(f.overlaps) > 0 {
		c.Reason = reasonOverlapsCluster
		c.Message += "; never handed out, because the cluster uses them itself: " + f.overlapsInWords()
	}
	return c
}

// news is what is worth an event when the Ready condition turns from one to the other: a problem, or other addresses that
// the cluster uses.
func (f poolFacts) news(was *metav1.Condition, is metav1.Condition) []notice {
	switch {
	case f.problem != nil && (was == nil || was.Reason != is.Reason || !strings.HasPrefix(was.Message, f.problem.Message)):
		return f.objectFacts.news()
	case is.Reason == reasonOverlapsCluster && (was == nil || !strings.Contains(was.Message, f.overlapsInWords())):
		return []notice{{warning: true, reason: is.Reason, message: is.Message}}
	}
	return nil
}

// overlapsInWords lists five at most.
func (f poolFacts) overlapsInWords() string {
	var parts []string
	for i, o := range f.overlaps {
		if i == 5 {
			parts = append(parts, fmt.Sprintf("%d more", len(f.overlaps)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s is %s", o.Range, o.What))
	}
	return strings.Join(parts, ", ")
}

// unchecked says what the pool could not be checked against.
func (f poolFacts) unchecked() metav1.Condition {
	var words []string
	for _, g := range f.gaps {
		words = append(words, g.String())
	}
	return metav1.Condition{Type: v1beta1.ConditionUnchecked, Status: metav1.ConditionTrue, Reason: reasonNotKnown,
		Message: strings.Join(words, "; "), ObservedGeneration: f.generation}
}

func (f poolFacts) exhausted() metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionExhausted, Status: metav1.ConditionFalse, Reason: reasonSomeFree,
		Message: "it has free addresses", ObservedGeneration: f.generation}
	var full []string
	if f.has(spec.IPv4) && f.usage.AvailableIPv4 == 0 {
		full = append(full, spec.IPv4.String())
	}
	if f.has(spec.IPv6) && f.usage.AvailableIPv6 == 0 {
		full = append(full, spec.IPv6.String())
	}
	if full != nil {
		c.Status, c.Reason = metav1.ConditionTrue, reasonNoneFree
		c.Message = fmt.Sprintf("it has no free %s address", strings.Join(full, " and no free "))
	}
	return c
}
