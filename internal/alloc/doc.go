// Package alloc decides which Service gets which address, and why not.
//
//	pools ──SetPools──▶ ┌────────────────────────── Table ──────────────────────────┐
//	                    │ pools ─▶ segments (runs of addresses: cursor, freed bits)  │
//	Service ──Claim───▶ │ claims (one per Service) ─▶ holdings (one per address) ◀── │ ──▶ Verdict
//	Service ──Release─▶ │                              found by address              │
//	                    └───────────────────────────────────────────────────────────┘
//
// Claim first secures what the Service holds already (in its status, or promised earlier by this table), lets go of what
// it no longer asks for, and then gives what it lacks:
//
//	enter ─▶ adopt (part, wins, trim) ─▶ plan (explicit, reserved, automatic) ─▶ fill ─▶ explain ─▶ verdict
//
// No address goes to two Services that may not share it: where two say that they hold the same one, the elder claim keeps
// it and the other is displaced. Nothing but Release, a changed Service or an elder claim ever takes an address away; a
// pool's edit does not. Where a Service is to have another address, the new one is secured before the old one goes; and an
// address that still stands in somebody's status goes to nobody else.
//
// The package is pure: no client, clock, goroutine, lock, log or metric. A Table belongs to one goroutine at a time.
package alloc
