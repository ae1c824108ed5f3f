// Package l2 tests, on a real cluster, what a host on the LAN notices of an address when speakers, nodes, cables and the API
// server come and go: from a client that opens a connection every 10 ms, from connections that are held, and by every
// ARP and NDP frame that tells where the address is.
//
//	n1 n2   announce, and are what happens to
//	n3      announces, too, and has all the pods: a node that dies takes addresses with it and no pod
//	c1      opens connections and holds some; listens only
//	c2      asks for the addresses by broadcast every 10 ms, as a host that knows nothing yet
//
// The tests share one lab and run one after another; each begins when the cluster is at rest.
package l2
