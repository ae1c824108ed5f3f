// Package speaker is the program that runs on every node and announces addresses from it.
//
//	API server ─▶ caches ─┐
//	other speakers ───────┼─ gather ─▶ plan.World ─ plan.Make ─▶ plan.Plan ─ apply ─▶ engines (l2)
//	own interfaces ───────┘                                            └─ report ─▶ SpeakerStatus, gossip
//
// It gathers facts, lets internal/plan decide, and hands the result to the engines. Nothing here asks what happened: each
// pass looks at everything as it is now. When the API server is away, the caches keep what they know and the passes go on.
//
// What the speaker needs from the API server:
//
//	resource                                       verbs
//	services, nodes, endpointslices                get list watch
//	ipaddresspools, l2advertisements               get list watch
//	speakerstatuses                                get list watch create (its own only)
//	speakerstatuses/status                         update (its own only)
//	pods, in its own namespace                     get list watch
//	secret belfry-memberlist, in its own namespace get list watch
package speaker
