// Package liveness notices within a fraction of a second that another speaker, or its whole node, is gone: faster than
// gossip, whose time grows with the cluster. It knows nothing of Kubernetes, memberlist or addresses to announce, and it
// decides nothing: it is told whom to probe and says how they are.
//
//	SetTargets ─▶ ┌── prober ──┐ ── request ──▶ responder of the target, a goroutine that does nothing else
//	SetKeys       │ one judge  │ ◀── reply ────  answers as soon as it is asked
//	Verdicts ◀─── │ per target │ ◀── refusal, when the target's kernel lives and its speaker does not
//	Changed  ◀─── └────────────┘
//
// Every interval the prober sends one request to each target. Request and reply carry both names, a nonce, a sequence
// number and an HMAC-SHA256 with a key that is derived from the gossip key, so that neither can be forged, sent back as
// its own answer, taken for another node's, or used again.
//
//	Unknown ──reply──▶ Answering ──5 requests without a sign──▶ Silent
//	                    ▲  │ refusal, and no reply               │ ▲
//	                    │  ▼                                     │ │ nothing for as long as a kernel
//	                    │ Refused ───────────────────────────────┼─┘ may hold refusals back, and more
//	                    └──────────────── reply ─────────────────┘
//
// A target that has never answered stays Unknown: it may be of an older version, or a firewall may be in between.
//
// A refusal is a port unreachable, the kernel's answer to a request that nobody reads, or a reset, its answer to a TCP
// connection that nobody accepts. Of the former a kernel sends one a second, six in a burst: a speaker that was restarted
// and is killed soon after would be taken for a dead node. So after a missed reply a connection is tried as well, to a port
// on which the speaker listens; one that hangs does not refuse.
//
// A busy node is not a dead node. What is counted are requests that really left and had a whole interval, by the
// prober's own clock, to be answered, and before each count the socket is emptied. So a prober that overslept, however
// long, has missed one reply and not the five that make a verdict.
package liveness
