// Package elect decides which node announces an address on the local network.
//
// It is pure and deterministic: the same facts give every speaker the same answer, without a word between them.
//
//	better preference (a subnet that contains the address) ─▶ higher score (rendezvous hash of address and node) ─▶ lower name
//
// Rendezvous hashing moves only the addresses of a node that goes, and spreads them over all that remain.
package elect
