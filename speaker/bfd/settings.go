package bfd

import (
	"errors"
	"fmt"
	"time"
)

// Settings of one session. Intervals are cut to whole microseconds.
type Settings struct {
	// MinTx is the shortest interval at which this side wants to send, MinRx the shortest at which it wants to receive: what is used is
	// the slower of one side's MinTx and the other's MinRx. Both are more than zero.
	MinTx, MinRx time.Duration
	// Multiplier is how many packets in a row the peer may miss, at least 1.
	Multiplier uint8
	// Echo is the interval of echo packets towards a peer that offers to loop them; 0 sends none. Single hop only. Once
	// the first has come back, control packets slow down to one a second (RFC 5880 §6.8.3). What a peer that offers echo never
	// loops is not held against it.
	Echo time.Duration
	// Passive sessions say nothing until the peer has spoken.
	Passive bool
	// AdminDown keeps the session down and tells the peer that this is no failure.
	AdminDown bool
	// MinTTL is the smallest TTL or hop limit accepted over several hops. Over a single hop it is always 255.
	MinTTL uint8
	Auth   Auth
}

// longest is the longest interval that fits a packet.
const longest = (1<<32 - 1) * time.Microsecond

func (s *Settings) validate(multiHop bool) error {
	for _, d := range []time.Duration{s.MinTx, s.MinRx} {
		if d < time.Microsecond || d > longest {
			return fmt.Errorf("an interval must be from 1µs to %s, not %s", longest, d)
		}
	}
	switch {
	case s.Multiplier == 0:
		return errors.New("the multiplier must be at least 1")
	case s.Echo < 0 || s.Echo > longest:
		return fmt.Errorf("the echo interval must be from 0 to %s, not %s", longest, s.Echo)
	case s.Echo > 0 && multiHop:
		return errors.New("there is no echo function over several hops")
	}
	return s.Auth.validate()
}

// whole cuts the intervals to what a packet can say, so that both sides reckon with the same ones.
func (s *Settings) whole() {
	s.MinTx, s.MinRx = s.MinTx.Truncate(time.Microsecond), s.MinRx.Truncate(time.Microsecond)
}
