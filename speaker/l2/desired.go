package l2

import (
	"net/netip"
	"slices"
)

// Desired is the whole of what this node should be answering for. It replaces whatever was desired before.
type Desired struct {
	// Entries are keyed by plain IPv4 or IPv6 unicast addresses, without zone and not IPv4-mapped.
	Entries map[netip.Addr]Entry
}

// Entry says how one address is announced.
type Entry struct {
	// Interfaces are the names of the interfaces on which the address is announced; empty means every eligible one,
	// those that appear later included.
	Interfaces []string
}

// on reports whether the entry wants its address announced on the interface called name.
func (e Entry) on(name string) bool {
	if len(e.Interfaces) == 0 {
		return true
	}
	return slices.Contains(e.Interfaces, name)
}

// Running is what is truly answered, as opposed to what was asked for.
type Running struct {
	// Addresses maps each answered address to the sorted names of the interfaces on which it is answered.
	Addresses map[netip.Addr][]string
	// Problems says why a desired address is answered on no interface at all.
	Problems map[netip.Addr]Problem
}

// Problem is the reason for which a desired address is answered nowhere on this node.
type Problem string

// The problems, from the most to the least fundamental.
const (
	// ProblemInvalid: not a unicast address that ARP or NDP could announce.
	ProblemInvalid Problem = "InvalidAddress"
	// ProblemNoInterface: none of the wanted interfaces exists and is eligible.
	ProblemNoInterface Problem = "NoInterface"
	// ProblemLinkDown: every wanted interface is down or has lost its carrier.
	ProblemLinkDown Problem = "LinkDown"
	// ProblemNoIPv4: no wanted interface that is up has an IPv4 address of its own, which ARP needs.
	ProblemNoIPv4 Problem = "NoIPv4"
	// ProblemNoLinkLocal: no wanted interface that is up has a usable IPv6 link-local address, the source of every advertisement.
	ProblemNoLinkLocal Problem = "NoLinkLocal"
	// ProblemSocket: the sockets could not be opened or have failed; they are opened again with growing pauses.
	ProblemSocket Problem = "SocketFailed"
)

// announceable reports whether an address is one that neighbours could ask for.
func announceable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.Is4In6() && a.Zone() == ""
}

// protocol is one of the two ways in which neighbours ask who has an address.
type protocol string

const (
	protocolARP protocol = "arp"
	protocolNDP protocol = "ndp"
)

// protocolOf returns the protocol by which an address is announced.
func protocolOf(a netip.Addr) protocol {
	if a.Is4() {
		return protocolARP
	}
	return protocolNDP
}
