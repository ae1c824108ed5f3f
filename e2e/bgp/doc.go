// Package bgp tests package speaker/bgp against real routers. The test program is the node; each router has a network
// namespace, at the other end of a cable of its own:
//
//	node 10.0.N.1, fd00:N::1 ──── 10.0.N.2, fd00:N::2 router N
package bgp
