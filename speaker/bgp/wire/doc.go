// Package wire reads and writes the few BGP messages that pass between a router and this node without GoBGP's help: it
// frames the stream, parses and builds OPEN, puts NOTIFICATION into words, and decides which of a router's messages go on.
//
//	router ──► Frame ──► ParseOpen, Offer.Check ──► Open.Append ──► GoBGP
//	                └──► Filter: pass, drop or stand in ──────────► GoBGP
//
// It is pure: no socket, no clock. Whatever bytes come in, nothing here panics, and nothing of what it does not
// understand goes on. References without a name are to RFC 4271.
package wire
