package l2

import (
	"bytes"
	"net"
	"net/netip"
)

// answer is what a neighbour that asks for an address is told.
type answer struct {
	// mac is the station that the answer names; the frame itself always comes from the interface's own.
	mac net.HardwareAddr
}

// table maps the addresses answered on one socket to their answers. It is never changed once it is in use: readers take
// the current one from an atomic pointer and need no lock.
type table map[netip.Addr]answer

// lookup finds the answer for a target.
type lookup func(netip.Addr) (answer, bool)

// wants returns the table for one protocol on one interface.
func (d Desired) wants(i Interface, p protocol) table {
	t := make(table)
	for a, e := range d.Entries {
		if protocolOf(a) == p && announceable(a) && e.on(i.Name) {
			t[a] = answer{mac: i.MAC}
		}
	}
	return t
}

func (a answer) equal(b answer) bool { return bytes.Equal(a.mac, b.mac) }
