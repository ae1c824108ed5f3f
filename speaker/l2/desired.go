package l2

import (
	"maps"
	"net/netip"
	"slices"
)

// Desired is the whole of what this node should be answering for. It replaces whatever was desired before.
type Desired struct {
	// Entries are keyed by plain IPv4 or IPv6 unicast addresses, without zone and not IPv4-mapped.
	Entries map[netip.Addr]Entry
	// Stations names the hardware addresses of the other nodes that announce under the same rules. What they say about an
	// address is reported with their name; it is no conflict, and nothing is ever defended against them.
	Stations map[MAC]string
}

// Entry says how one address is announced. The zero Entry answers with the interfaces' own hardware addresses at once.
//
//	As      Probe   what neighbours are told
//	nil     false   our own hardware address: when asked, and unasked when that is new
//	nil     true    the same, but only once nobody was heard to have the address
//	{i: m}  –       m, when they ask on interface i; nothing unasked, nothing on other interfaces
//	{}      –       nothing
//
// From one row to any other an Apply changes over at once: when it has returned, no answer by the old row leaves any more.
type Entry struct {
	// Interfaces are the names of the interfaces on which the address is announced; empty means every eligible one,
	// those that appear later included.
	Interfaces []string
	// As makes this node a stand-in: it maps interface names to the hardware address, of another station, that answers
	// name there. Frames still come from our own.
	As map[string]MAC
	// Probe asks the network first whether somebody has the address: three probes 100 ms apart (RFC 5227 §2.1.1 and
	// RFC 4862 §5.4, whose seconds are cut on purpose) and a decision after 300 ms. If somebody has it, the address is not
	// announced, and asked for again with growing pauses up to a minute. It holds for an address that was not in the
	// Desired before; one that was, as a stand-in's or without Probe, is announced without any question.
	Probe bool
	// Monitor reports other stations that say they have the address, and defends it (RFC 5227 §2.4).
	Monitor bool
	// Generation is of the caller's choosing. When it differs from before, the address is announced unasked once more, as
	// if it were new: after a partition of the network, say.
	Generation uint64
}

// covers reports whether the entry has to do with the interface called name.
func (e Entry) covers(name string) bool {
	return len(e.Interfaces) == 0 || slices.Contains(e.Interfaces, name)
}

// on reports whether the entry wants its address answered on the interface called name.
func (e Entry) on(name string) bool {
	_, standIn := e.As[name]
	return e.covers(name) && (e.As == nil || standIn)
}

func (e Entry) equal(f Entry) bool {
	return e.Probe == f.Probe && e.Monitor == f.Monitor && e.Generation == f.Generation && sameNames(e.Interfaces, f.Interfaces) &&
		(e.As == nil) == (f.As == nil) && maps.Equal(e.As, f.As)
}

// sameNames: most entries share one list.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// changes lists the addresses whose entries differ.
func (d Desired) changes(to Desired) []netip.Addr {
	var out []netip.Addr
	stay := 0
	for a, e := range to.Entries {
		was, ok := d.Entries[a]
		if ok {
			stay++
		}
		if !ok || !was.equal(e) {
			out = append(out, a)
		}
	}
	if stay == len(d.Entries) {
		return out
	}
	for a := range d.Entries {
		if _, ok := to.Entries[a]; !ok {
			out = append(out, a)
		}
	}
	return out
}

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
