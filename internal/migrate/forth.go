package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// Next returns the step that brings the change-over further; false when it is done. Whoever carries it out reads the
// State anew and asks again.
//
// The order keeps traffic: addresses are adopted before anything is announced. On layer 2 our speakers answer beside the
// old ones, with the same hardware address, before those stop. A router keeps one session per node, so BGP goes node by
// node, and the next follows only when this one's routes are sent: the others carry the traffic meanwhile.
func Next(s State) (Step, bool) {
	for _, try := range []func(State) (Step, bool){prepare, takeAddresses, takeLayer2, takeNodes, finish} {
		if step, ok := try(s); ok {
			return step, true
		}
	}
	return Step{}, false
}

func prepare(s State) (Step, bool) {
	switch {
	case len(s.Missing) > 0:
		return Step{Do: Install, Text: "Belfry is not complete, there is no " + strings.Join(s.Missing, ", no ")}, true
	case s.Controller && len(s.Blocked) > 0:
		return Step{Do: Mend, Text: strings.Join(s.Blocked, "; ")}, true
	case len(s.Secrets) > 0:
		return Step{Do: CopySecrets, Text: "copying " + plural(len(s.Secrets), "Secret")}, true
	}
	return Step{}, false
}

func takeAddresses(s State) (Step, bool) {
	switch {
	case s.Controller:
		return Step{Do: StopController, Text: "stopping the old controller: from here on Belfry assigns"}, true
	case s.Stopping:
		return Step{Do: AwaitStopped, Text: "waiting until the old controller is gone"}, true
	case len(s.Pools) > 0:
		return Step{Do: ApplyPools, Text: "applying " + strings.Join(s.Pools, ", ")}, true
	case len(s.Foreign) > 0:
		return Step{Do: AwaitAdoption, Text: fmt.Sprintf("waiting until Belfry has adopted the addresses of %s", some(s.Foreign))}, true
	case len(s.Shut) > 0:
		return Step{Do: OpenPools, Text: "new Services get addresses of " + some(s.Shut) + ", too"}, true
	}
	return Step{}, false
}

func takeLayer2(s State) (Step, bool) {
	switch {
	case len(s.L2) > 0:
		return Step{Do: ApplyL2, Text: "applying " + strings.Join(s.L2, ", ")}, true
	case len(s.Silent) > 0:
		return Step{Do: AwaitL2, Text: fmt.Sprintf("waiting until speakers answer for %s", some(s.Silent))}, true
	}
	return Step{}, false
}

func takeNodes(s State) (Step, bool) {
	if len(s.BGP) > 0 {
		text := "applying " + strings.Join(s.BGP, ", ")
		if !s.Retired {
			text += "; peers select no node yet"
		}
		return Step{Do: ApplyBGP, Text: text}, true
	}
	order := slices.Clone(s.Nodes)
	slices.SortStableFunc(order, rank)
	for _, n := range order {
		if step, ok := takeNode(n, s); ok {
			return step, true
		}
	}
	return Step{}, false
}

func takeNode(n Node, s State) (Step, bool) {
	at := []string{n.Name}
	switch {
	// Before our peers select it the old speaker must be kept away, also where it is only about to come back.
	case !n.Left && (n.Running || s.Guarded && !s.Retired):
		return Step{LeaveNode, at, n.Name + ": the old speaker leaves"}, true
	case n.Running:
		return Step{AwaitLeft, at, n.Name + ": waiting until the old speaker is gone"}, true
	case !s.Guarded:
		return Step{}, false
	case !n.Selected:
		return Step{SelectNode, at, n.Name + ": Belfry speaks to its routers"}, true
	case n.Waiting != "":
		return Step{AwaitNode, at, n.Name + ": waiting for " + n.Waiting}, true
	}
	return Step{}, false
}

func finish(s State) (Step, bool) {
	switch {
	case !s.Retired:
		return Step{Do: Retire, Text: "keeping the old speaker from every node"}, true
	case s.Guarded:
		return Step{Do: Unguard, Text: "BGPPeers select the nodes that they selected before"}, true
	}
	return unlabel(s)
}

func unlabel(s State) (Step, bool) {
	var names []string
	for _, n := range s.Nodes {
		if n.Labelled {
			names = append(names, n.Name)
		}
	}
	return Step{Unlabel, names, "taking the labels of the change-over from the nodes"}, len(names) > 0
}
