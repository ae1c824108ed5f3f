// Package bfd notices within a fraction of a second that a neighbour is gone: Bidirectional Forwarding Detection as in
// RFC 5880 (asynchronous mode, authentication, echo), over one hop (RFC 5881) and several (RFC 5883).
//
// It is told the whole of which paths to watch (Desired) and reports how they are (Running). It decides nothing: what a
// path that fails means to a routing protocol is for others to say, and nothing here knows of any.
//
//	           ┌────────── owner ──────────┐
//	Apply ───► │ session ── machine        │ ◄── packets ── reader ◄── Receiver, one per (VRF, family, hop mode)
//	Changed ◄─ │   ...      (state.go)     │
//	           │ schedule                  │ ──► packets ── Sender, one per session
//	           └───────────────────────────┘
//
// The machine is RFC 5880 without sockets and clocks: a packet or the time goes in, a packet, a state and the time of the
// next step come out. The owner, Run's own goroutine, holds all machines in a heap by their next step. Each receiving
// socket has a goroutine that reads, throws away what is malformed, and hands over the rest.
package bfd
