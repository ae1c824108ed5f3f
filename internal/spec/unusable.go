package spec

import (
	"fmt"
	"net/netip"
)

// special is a block of addresses at which no Service can be reached.
type special struct {
	Range
	cidr netip.Prefix
	what string
}

// specials are those of RFC 6890.
func specials() []special {
	list := []special{
		{cidr: v4Block(0, 0, 8), what: "unspecified"}, {cidr: v4Block(127, 0, 8), what: "loopback"},
		{cidr: v4Block(169, 254, 16), what: "link-local"}, {cidr: v4Block(224, 0, 4), what: "multicast"},
		{cidr: netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 32), what: "the broadcast address"},
		{cidr: netip.PrefixFrom(netip.IPv6Unspecified(), 128), what: "unspecified"},
		{cidr: netip.PrefixFrom(netip.IPv6Loopback(), 128), what: "loopback"},
		{cidr: v6Block(0xfe, 0x80, 10), what: "link-local"}, {cidr: v6Block(0xff, 0, 8), what: "multicast"},
	}
	for i := range list {
		list[i].Range = rangeOf(list[i].cidr)
	}
	return list
}

func v4Block(a, b byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b}), bits)
}

func v6Block(a, b byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{a, b}), bits)
}

// checkUsable tells what in a range no Service can be reached at.
func checkUsable(r Range, unusable []special) error {
	for _, s := range unusable {
		if r.Overlaps(s.Range) {
			return fmt.Errorf("%s reaches into %s (%s), where no Service can be reached: leave that out", r, s.cidr, s.what)
		}
	}
	return nil
}
