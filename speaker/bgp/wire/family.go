package wire

import (
	"net/netip"
	"strings"
)

// Family is a set of address families, all of them unicast.
type Family uint8

// The families that are announced.
const (
	IPv4 Family = 1 << iota
	IPv6
)

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Has reports whether all of o is in f.
func (f Family) Has(o Family) bool { return f&o == o }

// Each returns the single families of the set, IPv4 first.
func (f Family) Each() []Family {
	var all []Family
	for _, one := range []Family{IPv4, IPv6} {
		if f.Has(one) {
			all = append(all, one)
		}
	}
	return all
}

// String names the families, joined by commas.
func (f Family) String() string {
	var names []string
	for _, one := range f.Each() {
		names = append(names, map[Family]string{IPv4: "IPv4", IPv6: "IPv6"}[one])
	}
	return strings.Join(names, ",")
}

// The numbers of IANA's registry: AFI 1 and 2, SAFI 1.
const safiUnicast = 1

func (f Family) afi() uint16 {
	if f == IPv4 {
		return 1
	}
	return 2
}

func familyOf(afi uint16, safi uint8) Family {
	switch {
	case safi != safiUnicast:
		return 0
	case afi == 1:
		return IPv4
	case afi == 2:
		return IPv6
	}
	return 0
}
