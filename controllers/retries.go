package controllers

import (
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Back-off of Services whose write failed: 20 ms, doubled each time up to 10 s, and up to half as much again by chance.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// stuckAfter is how many failures in a row are no passing trouble any more: the back-off has then lasted about three seconds.
const stuckAfter = 8

// retries remembers which Services to look at again, and when.
type retries struct {
	failures map[types.NamespacedName]int
	due      map[types.NamespacedName]time.Time
	next     time.Time // the earliest of due; zero when there is none
}

func newRetries() *retries {
	return &retries{failures: map[types.NamespacedName]int{}, due: map[types.NamespacedName]time.Time{}}
}

// after notes one more failure, and tells whether it is the one by which the object counts as stuck: true once until all
// is well again.
func (r *retries) after(key types.NamespacedName, now time.Time) (stuck bool) {
	d := min(firstRetry<<min(r.failures[key], 16), lastRetry)
	r.failures[key]++
	at := now.Add(d + rand.N(d/2)) // #nosec G404 -- spreads load, keeps no secret
	r.due[key] = at
	if r.next.IsZero() || at.Before(r.next) {
		r.next = at
	}
	return r.failures[key] == stuckAfter
}

// forget says that all is well again.
func (r *retries) forget(key types.NamespacedName) {
	delete(r.failures, key)
	delete(r.due, key)
}

// wait returns how long it is until the next is due; false when none is.
func (r *retries) wait(now time.Time) (time.Duration, bool) {
	return r.next.Sub(now), !r.next.IsZero()
}

// take returns those that are due now.
func (r *retries) take(now time.Time) []types.NamespacedName {
	var keys []types.NamespacedName
	r.next = time.Time{}
	for k, at := range r.due {
		switch {
		case !at.After(now):
			keys = append(keys, k)
			delete(r.due, k)
		case r.next.IsZero() || at.Before(r.next):
			r.next = at
		}
	}
	return keys
}
