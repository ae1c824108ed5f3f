package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// State is where a change-over stands, read from the cluster each time anew: so it can be stopped and taken up again at
// any moment, by anybody.
type State struct {
	// Missing says what is not there of Belfry itself: "CustomResourceDefinitions", "a ready controller", "a speaker on n3".
	Missing []string
	// Secrets and Objects of the Result that are not there yet.
	Secrets []Secret
	Pools   []string // pools and what needs nothing else: profiles, communities
	L2      []string // L2Advertisements
	BGP     []string // BGPAdvertisements and BGPPeers
	// Controller tells whether the other system's controller runs.
	Controller bool
	// Foreign are Services whose addresses Belfry has not adopted; Silent are those that its speakers do not announce on layer 2.
	Foreign, Silent []string
	Nodes           []Node
	// Guarded tells that BGPPeers still select only nodes that have changed over.
	Guarded bool
	// Retired tells that the other system's speaker can run nowhere any more.
	Retired bool
}

// Node is where one node stands.
type Node struct {
	Name string
	// Left: the other system's speaker is kept away from the node. Running: it runs there all the same, still.
	Left, Running bool
	// Selected: our BGPPeers select the node.
	Selected bool
	// Waiting says which of our sessions on the node are not up yet, or which routes are not sent; "" is none.
	Waiting string
}

// Do is what a Step does.
type Do string

// What there is to do.
const (
	Install        Do = "Install"        // by hand: Belfry itself
	CopySecrets    Do = "CopySecrets"    // into Belfry's namespace
	StopController Do = "StopController" // of the other system: two that assign would be one too many
	StartControl   Do = "StartControl"   // on the way back
	ApplyPools     Do = "ApplyPools"     // and profiles and communities
	AwaitAdoption  Do = "AwaitAdoption"  // until every Service is marked as ours, with its address
	ApplyL2        Do = "ApplyL2"        // our speakers find who answers and begin as owner on the same node
	AwaitL2        Do = "AwaitL2"        // until they answer for every address
	ApplyBGP       Do = "ApplyBGP"       // selecting no node yet
	LeaveNode      Do = "LeaveNode"      // the other system's speaker leaves the node
	AwaitLeft      Do = "AwaitLeft"      // until it has
	SelectNode     Do = "SelectNode"     // our BGPPeers select the node
	AwaitNode      Do = "AwaitNode"      // until its sessions are up and its routes are sent
	Retire         Do = "Retire"         // the other system's speaker is kept from every node, for good
	Unguard        Do = "Unguard"        // BGPPeers say again what they said before
	ReleaseNode    Do = "ReleaseNode"    // on the way back: our BGPPeers let go of the node
	ReturnNode     Do = "ReturnNode"     // on the way back: the other system's speaker may run there
	AwaitReturn    Do = "AwaitReturn"    // until it does
	DeleteObjects  Do = "DeleteObjects"  // on the way back: our advertisements and peers
)

// Step is one thing to do next.
type Step struct {
	Do    Do
	Nodes []string // on which nodes, where that matters
	Text  string   // for the user
}

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
	case len(s.Secrets) > 0:
		return Step{Do: CopySecrets, Text: fmt.Sprintf("copying %d Secrets", len(s.Secrets))}, true
	}
	return Step{}, false
}

func takeAddresses(s State) (Step, bool) {
	switch {
	case s.Controller:
		return Step{Do: StopController, Text: "stopping the old controller: from here on Belfry assigns"}, true
	case len(s.Pools) > 0:
		return Step{Do: ApplyPools, Text: "applying " + strings.Join(s.Pools, ", ")}, true
	case len(s.Foreign) > 0:
		return Step{Do: AwaitAdoption, Text: fmt.Sprintf("waiting until Belfry has adopted the addresses of %s", some(s.Foreign))}, true
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
		return Step{Do: ApplyBGP, Text: "applying " + strings.Join(s.BGP, ", ") + "; they select no node yet"}, true
	}
	// One that is between the two comes first.
	order := slices.Clone(s.Nodes)
	slices.SortStableFunc(order, func(a, b Node) int { return rank(a) - rank(b) })
	for _, n := range order {
		if step, ok := takeNode(n, s.Guarded); ok {
			return step, true
		}
	}
	return Step{}, false
}

func rank(n Node) int {
	if n.Left {
		return 0
	}
	return 1
}

func takeNode(n Node, bgp bool) (Step, bool) {
	at := []string{n.Name}
	switch {
	case !n.Left && n.Running:
		return Step{LeaveNode, at, n.Name + ": the old speaker leaves"}, true
	case n.Running:
		return Step{AwaitLeft, at, n.Name + ": waiting until the old speaker is gone"}, true
	case !bgp:
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
	return Step{}, false
}

// Back returns the step that brings a change-over nearer to where it began; false when it is there. Addresses stay where
// they are: Services keep them whoever assigns.
func Back(s State, ours bool) (Step, bool) {
	// The one on its way comes first.
	for _, n := range s.Nodes {
		at := []string{n.Name}
		switch {
		case n.Selected && !n.Running:
			return Step{ReleaseNode, at, n.Name + ": Belfry takes leave of its routers"}, true
		case n.Left || s.Retired && !n.Running:
			return Step{ReturnNode, at, n.Name + ": the old speaker may come back"}, true
		case !n.Running:
			return Step{AwaitReturn, at, n.Name + ": waiting for the old speaker"}, true
		}
	}
	switch {
	case ours:
		return Step{Do: DeleteObjects, Text: "deleting Belfry's advertisements, peers and pools; Services keep their addresses"}, true
	case !s.Controller:
		return Step{Do: StartControl, Text: "starting the old controller"}, true
	}
	return Step{}, false
}

// some names a few of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// Gap tells what to expect of a change-over before it begins: nodes of which no other one announces the same.
func Gap(bgp bool, nodes int) string {
	if bgp && nodes == 1 {
		return "one node only speaks BGP: its routes are gone from the old session's end until the new session is up"
	}
	return ""
}
