package bgp

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestSilence: an attempt is h (the kernel finds no such host), n (it has no route), t (it times out), p (so it does with a
// password), r (refused). What is told of each stands below it.
func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		connect     time.Duration
		ended, told string
	}{
		{time.Second, "tht", "thh"},
		{time.Second, "hththtth", "hhhhhhhh"},
		{time.Second, "htttttttttttt", "hhhhhhhhhhttt"},
		{time.Second, "htttttttttht", "hhhhhhhhhhhh"},
		{time.Second, "htttttttttttthtt", "hhhhhhhhhhttthhh"},
		{time.Second, "hppr", "hhhr"},
		{time.Second, "hrt", "hrt"},
		{time.Second, "ntt", "ntt"},
		{3 * time.Second, "hp", "hh"},
		{4 * time.Second, "hthp", "hthp"},
		{10 * time.Second, "ht", "ht"},
	} {
		var s silence
		var told []byte
		for _, how := range []byte(tc.ended) {
			session := Session{}
			err := os.ErrDeadlineExceeded
			switch how {
			case 'h':
				err = syscall.EHOSTUNREACH
			case 'n':
				err = syscall.ENETUNREACH
			case 'r':
				err = syscall.ECONNREFUSED
			case 'p':
				session.Password = "sesame"
			}
			got := s.told(classifyDial(session, fmt.Errorf("dialling: %w", err)), tc.connect)
			reason, _ := reasonOf(got)
			letter := map[Reason]byte{ReasonUnreachable: 'n', ReasonTimeout: 't', ReasonPassword: 'p', ReasonRefused: 'r'}[reason]
			if errors.Is(got, syscall.EHOSTUNREACH) {
				letter = 'h'
			}
			told = append(told, letter)
		}
		if string(told) != tc.told {
			t.Errorf("connectTime %s: %s is told as %s, want %s", tc.connect, tc.ended, told, tc.told)
		}
	}
}
