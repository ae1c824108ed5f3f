package members

import "fmt"

// State is what a speaker says of its own fitness. It travels in the node
// metadata, so its numbers are part of the protocol: append only.
type State uint8

const (
	// Starting: not all is known yet; must not acquire addresses.
	Starting State = iota
	// Ready: may acquire addresses.
	Ready
	// Restarting: about to stop and expected back soon; the dataplane of its
	// node lives on.
	Restarting
	// Draining: hands its addresses over and acquires none.
	Draining
)

// String names the state as logs and status show it.
func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case Ready:
		return "ready"
	case Restarting:
		return "restarting"
	case Draining:
		return "draining"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// known maps states of a later version to Starting, the state that is given
// nothing.
func (s State) known() State {
	if s > Draining {
		return Starting
	}
	return s
}
