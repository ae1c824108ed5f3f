// Package members keeps the speakers of a cluster acquainted: who is alive,
// in which state, and what each one says of itself (its facts). It wraps
// memberlist (SWIM over UDP and TCP, encrypted) and knows nothing of
// Kubernetes, addresses to announce or elections.
//
//	SetPeers ──▶ joiner ──Join──▶ ┌────────────┐ ◀── UDP, TCP ──▶ other speakers
//	                              │ memberlist │
//	Publish ─┐                    └─────┬──────┘
//	SetState ┼─▶ engine ◀── delegates ──┘   hand over and return, never block
//	SetKeys ─┘     │
//	               ▼
//	        snapshot ──▶ Members(), Changed(), Settled()
//
// Two ways lead facts to the others. Node metadata (512 bytes at most, spread
// by memberlist itself) carries a stamp of the facts: version, size, digest.
// Small facts are also broadcast in pieces that fit a packet, and every
// push/pull carries those of all members. A member that holds something other
// than the stamp in the metadata asks the owner, who answers over TCP. So the
// stamp decides, and lost, late or forged pieces cost time but no truth.
//
// What this package does not do: facts of a member that is gone are not kept,
// and nobody but memberlist's failure detector declares a member dead.
package members
