package liveness

import "time"

// State is what is known of a target.
type State uint8

const (
	// Unknown: it has not answered since it became a target.
	Unknown State = iota
	// Answering: its speaker lives.
	Answering
	// Refused: its kernel says that nobody listens: the node lives, its speaker does not.
	Refused
	// Silent: nothing comes from it: the node is dead or cut off, or its speaker hangs.
	Silent
)

// String names the state as logs, metrics and gossip show it.
func (s State) String() string {
	switch s {
	case Answering:
		return "answering"
	case Refused:
		return "refused"
	case Silent:
		return "silent"
	}
	return "unknown"
}

// judge makes a target's state out of what comes from it. It knows no clock: a miss is one interval in which the last
// request stayed without a reply.
type judge struct {
	state   State
	refused bool // by the kernel, since the last reply
	unseen  int  // misses since the last reply or refusal
	blind   int  // requests in a row that could not leave
}

// answer is a reply that proves itself.
func (j *judge) answer() { *j = judge{state: Answering} }

// refuse is a port unreachable or a reset. It proves nothing of its sender, so it counts only where replies stay away.
func (j *judge) refuse() {
	if j.state != Unknown {
		j.refused, j.unseen = true, 0
	}
}

// miss counts an interval without a reply.
func (j *judge) miss(interval time.Duration) {
	if j.state == Unknown {
		return
	}
	j.blind = 0
	j.unseen++
	switch {
	case j.unseen >= j.patience(interval):
		j.state, j.refused = Silent, false
	case j.refused:
		j.state = Refused
	}
}

// blinded counts an interval in which no request could leave: that proves nothing of the target, and after as many of
// them as a verdict takes, nothing is known of it.
func (j *judge) blinded() {
	if j.blind++; j.blind >= misses {
		*j = judge{}
	}
}

// patience is how many misses in a row mean that nobody is there.
func (j *judge) patience(interval time.Duration) int {
	if j.refused {
		return misses + int(refusalGap/interval)
	}
	return misses
}
