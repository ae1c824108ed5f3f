// Package elect decides which node announces an address on the local network.
//
// It is pure and deterministic: the same facts and claims give every speaker the same answer, without a word between them.
// The present owner is a fact like any other: it has a claim, and a claim that stands keeps the address where it is.
//
//	claims that stand      result
//	one of a live node     it holds the address; Next names who should take it over by a planned move, if anybody should:
//	                       a node of better preference (failback), or one with fewer addresses (balance)
//	one that is remembered its node holds the address and is away; StandIn answers in its stead
//	none                   Next is to claim it
//	several                a live one before a remembered one; not the one that another was made to replace;
//	                       better preference ─▶ lower epoch ─▶ higher score ─▶ lower node
//
// Who is to have an address is found by better preference (weight, then a subnet that contains the address), then by
// rendezvous hashing among the nodes that have not more than their share. So only the addresses of a node that goes move,
// and they are spread over all that remain.
package elect
