package controllers

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Reasons of the condition Announced, besides those of internal/plan and of the speakers' problems.
const (
	// reasonAnnounced: speakers announce all addresses of the Service.
	reasonAnnounced spec.Reason = "Announced"
	// reasonNotYet: a node is to announce the address, but its speaker does not say that it does.
	reasonNotYet spec.Reason = "NotYetAnnounced"
)

// Events on Services, besides reasonAnnounced.
const (
	// eventNotAnnounced: a Service is not announced, any more or at all; the message tells why.
	eventNotAnnounced = "NotAnnounced"
)

// announcement is what the condition Announced of a Service is to say.
type announcement struct {
	uid     types.UID // of the Service; one of the same name that comes later is another
	all     bool      // all its addresses are announced
	reason  spec.Reason
	message string
}

// same tells whether the two say the same. While a Service is not announced, the nodes that are named in the reason's words
// may come and go: that is no news. Which addresses it is about is.
func (a announcement) same(status metav1.ConditionStatus, reason, message string) bool {
	if a.status() != status || string(a.reason) != reason {
		return false
	}
	if a.all {
		return a.message == message
	}
	about, _, _ := strings.Cut(a.message, ": ")
	was, _, _ := strings.Cut(message, ": ")
	return about == was
}

// repeats tells whether it says of the same Service what was said before.
func (a announcement) repeats(before announcement) bool {
	return a.uid == before.uid && a.same(before.status(), string(before.reason), before.message)
}

func (a announcement) status() metav1.ConditionStatus {
	if a.all {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// announcedOn returns the condition that a Service is to have: what was last said of it, else the one that it has. Without
// addresses there is nothing to announce.
func (a announcement) announcedOn(o *corev1.Service, holds bool, now time.Time) *metav1.Condition {
	old := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAnnounced)
	switch {
	case !holds:
		return nil
	case a.uid != o.UID, old != nil && a.same(old.Status, old.Reason, old.Message):
		return old
	}
	c := &metav1.Condition{
		Type: v1beta1.ConditionAnnounced, Status: a.status(), Reason: string(a.reason), Message: a.message,
		ObservedGeneration: o.Generation, LastTransitionTime: metav1.Time{Time: now.Truncate(time.Second)},
	}
	if old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	return c
}

// announcedNews is the event that tells of a change; nothing is told when the condition goes.
func announcedNews(old []metav1.Condition, is *metav1.Condition) []notice {
	was := meta.FindStatusCondition(old, v1beta1.ConditionAnnounced)
	switch {
	case is == nil, was != nil && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message:
		return nil
	case is.Status == metav1.ConditionTrue:
		return []notice{{reason: is.Reason, message: is.Message}}
	}
	return []notice{{warning: true, reason: eventNotAnnounced, message: is.Reason + ": " + is.Message}}
}
