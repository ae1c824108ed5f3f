package bgp

import (
	"errors"
	"syscall"
	"time"
)

const (
	// neighborTime is more than the kernel takes, with its defaults, to find out that nobody on the network has an address.
	neighborTime = 4 * time.Second
	// enoughTimeouts in a row, and somebody has the address after all.
	enoughTimeouts = 10
)

// silence remembers over the attempts to reach a router that the kernel has found nobody with its address. An attempt that is
// shorter than the kernel's own search times out or not, as it happens: the two reasons would take turns for as long as the
// router is off, and all who look be told of each.
type silence struct {
	nobody   error // what the kernel said; nil: nothing, or too long ago
	timeouts int   // since then
}

// told returns what is to be told of an attempt that ended so: the kernel's word stands while attempts time out.
func (s *silence) told(why error, connectTime time.Duration) error {
	reason, _ := reasonOf(why)
	timedOut := reason == ReasonTimeout || reason == ReasonPassword
	if timedOut && s.nobody != nil && connectTime < neighborTime && s.timeouts+1 < enoughTimeouts {
		s.timeouts++
		return s.nobody
	}
	*s = silence{}
	if errors.Is(why, syscall.EHOSTUNREACH) {
		s.nobody = why
	}
	return why
}
