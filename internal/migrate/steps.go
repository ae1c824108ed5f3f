package migrate

import (
	"fmt"
	"strings"
)

// Do is what a Step does.
type Do string

// What there is to do.
const (
	Install        Do = "Install"        // by hand: Belfry itself
	Mend           Do = "Mend"           // by hand: what would cost a Service its address
	CopySecrets    Do = "CopySecrets"    // into Belfry's namespace
	StopController Do = "StopController" // of the other system: two that assign would be one too many
	AwaitStopped   Do = "AwaitStopped"   // until its last Pod is gone
	ApplyPools     Do = "ApplyPools"     // and profiles and communities
	OpenPools      Do = "OpenPools"      // pools give addresses to new Services too
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
	Unlabel        Do = "Unlabel"        // nodes lose the labels of the change-over

	ReleaseNode   Do = "ReleaseNode"   // on the way back: our BGPPeers let go of the node
	AwaitRelease  Do = "AwaitRelease"  // until our speaker there has closed its sessions
	ReturnNode    Do = "ReturnNode"    // on the way back: the other system's speaker may run there
	AwaitReturn   Do = "AwaitReturn"   // until it does, and has had time to tell its routers
	RestoreDaemon Do = "RestoreDaemon" // on the way back: the other system's DaemonSets are as they were
	AwaitRollout  Do = "AwaitRollout"  // until their Pods are too
	DeleteObjects Do = "DeleteObjects" // on the way back: our advertisements and peers
	StartControl  Do = "StartControl"  // on the way back
)

// Step is one thing to do next.
type Step struct {
	Do    Do
	Nodes []string // on which nodes, where that matters
	Text  string   // for the user
}

// ByHand tells whether only the user can do it.
func (s Step) ByHand() bool { return s.Do == Install || s.Do == Mend }

// Waits tells whether there is nothing to do but wait.
func (s Step) Waits() bool { return strings.HasPrefix(string(s.Do), "Await") }

// some names a few of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// Gap tells what to expect of a change-over before it begins, where no other node announces the same. How long it was in
// the test is what TestOneSpeaks of e2e/migrate logs.
func Gap(bgp bool, nodes int, back bool) string {
	switch {
	case !bgp || nodes != 1:
		return ""
	case back:
		return "one node only speaks BGP: its routes are gone until the old speaker has started and dialled, and once more with its rolling update: 6 to 26 s in the test"
	}
	return "one node only speaks BGP: its routes are gone from the old session's end until the new session is up, 1 to 2.3 s in the test"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
