package migrate

import (
	"slices"
	"strings"
)

// most is more steps than any change-over of so many nodes has.
func most(nodes int) int { return 30 + 8*nodes }

// Rehearse returns the steps from a State to the end, as they follow when each has the effect that it is meant to have.
// It ends at the first that only the user can do.
func Rehearse(s State) (out []Step) {
	s.Nodes = slices.Clone(s.Nodes)
	for range most(len(s.Nodes)) {
		step, ok := Next(s)
		if !ok {
			return out
		}
		out = append(out, step)
		if step.ByHand() {
			return out
		}
		imagine(&s, step)
	}
	return out
}

// RehearseBack is Rehearse for the way back.
func RehearseBack(s State, ours bool) (out []Step) {
	s.Nodes = slices.Clone(s.Nodes)
	for range most(len(s.Nodes)) {
		step, ok := Back(s, ours)
		if !ok {
			return out
		}
		out = append(out, step)
		imagine(&s, step)
		ours = ours && step.Do != DeleteObjects
	}
	return out
}

// imagine gives the State what comes of a step. What has to be waited for is not there at once, so that it is told.
func imagine(s *State, step Step) {
	if back := s.imagineBack(step.Do); !back {
		s.imagineForth(step.Do)
	}
	for i := range s.Nodes {
		if slices.Contains(step.Nodes, s.Nodes[i].Name) {
			s.Nodes[i].imagine(step.Do)
		}
	}
	if step.Do == ReturnNode && s.Retired {
		s.hold(step.Nodes[0])
	}
}

func (n *Node) imagine(do Do) {
	switch do {
	case LeaveNode:
		n.Left, n.Labelled = true, true
	case AwaitLeft:
		n.Running, n.Settling = false, false
	case SelectNode:
		n.Selected, n.Waiting, n.Labelled = true, "its sessions and routes", true
	case AwaitNode:
		n.Waiting, n.Talking = "", true
	case Unlabel:
		n.Left, n.Labelled = false, false
	case ReleaseNode:
		n.Selected = false
	case AwaitRelease:
		n.Talking = false
	case ReturnNode:
		n.Left, n.Labelled = false, false
	case AwaitReturn:
		n.Running, n.Settling = true, false
	}
}

// hold is what comes of a first node's return: the others are kept back one by one instead of all at once.
func (s *State) hold(but string) {
	s.Retired = false
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.Name != but && !n.Running {
			n.Left, n.Labelled = true, true
		}
	}
}

func (s *State) imagineForth(do Do) {
	switch do {
	case CopySecrets:
		s.Secrets = nil
	case StopController:
		s.Controller, s.Stopping = false, true
	case AwaitStopped:
		s.Stopping = false
	case ApplyPools:
		s.Pools, s.Shut, s.Giving = nil, append(slices.Clone(s.Shut), s.Giving...), nil
	case OpenPools:
		s.Shut = nil
	case AwaitAdoption:
		s.Foreign = nil
	case ApplyL2:
		s.L2 = nil
	case AwaitL2:
		s.Silent = nil
	case ApplyBGP:
		peers := slices.ContainsFunc(s.BGP, func(o string) bool { return strings.HasPrefix(o, "BGPPeer ") })
		s.Guarded, s.BGP = s.Guarded || peers && !s.Retired, nil
	case Retire:
		s.Retired, s.Patched = true, true
	case Unguard:
		s.Guarded = false
	}
}

// imagineBack is imagineForth for steps of the way back; false when it is none.
func (s *State) imagineBack(do Do) bool {
	switch do {
	case ReleaseNode:
		s.Guarded = true
	case AwaitRelease:
		s.Stray = nil
	case RestoreDaemon:
		s.Patched, s.Rolling = false, true
	case AwaitRollout:
		s.Rolling = false
	case StartControl:
		s.Controller = true
	default:
		return false
	}
	return true
}
