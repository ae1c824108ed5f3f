package harness

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stations lists the hardware addresses that were told, one after the other: a, b when a was told, then only b.
func Stations(sights []Sight) (macs []string) {
	for _, s := range sights {
		if len(macs) == 0 || macs[len(macs)-1] != s.MAC {
			macs = append(macs, s.MAC)
		}
	}
	return macs
}

// Story tells which stations were told, one after the other, when and how.
func Story(sights []Sight, since time.Time) string {
	var b strings.Builder
	for i, s := range sights {
		if i > 0 && sights[i-1].MAC == s.MAC && sights[i-1].From == s.From && sights[i-1].Unasked == s.Unasked {
			continue
		}
		how := ""
		if s.Unasked {
			how = ", unasked"
		}
		if StoodIn(s) {
			how += ", by " + s.From
		}
		fmt.Fprintf(&b, "%6d ms: %s%s\n", s.At.Sub(since).Milliseconds(), s.MAC, how)
	}
	return b.String()
}

// Stayed returns an error unless the sights tell of this hardware address and of no other.
func Stayed(sights []Sight, mac string) error {
	if got := Stations(sights); !slices.Equal(got, []string{mac}) {
		return fmt.Errorf("in %d frames the stations were %v, want %s alone", len(sights), got, mac)
	}
	return nil
}

// Moved returns an error unless the sights tell of the first hardware address, and then of the second and never of the
// first again. The first may not have been told at all.
func Moved(sights []Sight, from, to string) error {
	got := Stations(sights)
	if !slices.Equal(got, []string{from, to}) && !slices.Equal(got, []string{to}) {
		return fmt.Errorf("in %d frames the stations were %v, want %s and then %s for good", len(sights), got, from, to)
	}
	return nil
}

// Announced returns when a station was first told unasked.
func Announced(sights []Sight, mac string) (time.Time, error) {
	for _, s := range sights {
		if s.Unasked && s.MAC == mac {
			return s.At, nil
		}
	}
	return time.Time{}, errors.New("nothing was told unasked")
}

// Silent returns the longest time without an answer, from a moment on until the last answer there is.
func Silent(sights []Sight, from time.Time) (longest time.Duration) {
	for _, s := range sights {
		if s.At.After(from) {
			longest, from = max(longest, s.At.Sub(from)), s.At
		}
	}
	return longest
}

// StoodIn tells whether another station than the one that was told sent an answer.
func StoodIn(s Sight) bool { return s.From != s.MAC }
