package spec

import (
	"fmt"
	"net/netip"
)

// special is a block of addresses at which no Service can be reached.
type special struct {
	cidr string
	what string
}

// specials are those of RFC 6890.
func specials() []special {
	return []special{
		{"0.0.0.0/8", "unspecified"}, {"127.0.0.0/8", "loopback"}, {"169.254.0.0/16", "link-local"},
		{"224.0.0.0/4", "multicast"}, {"255.255.255.255/32", "the broadcast address"},
		{"::/128", "unspecified"}, {"::1/128", "loopback"}, {"fe80::/10", "link-local"}, {"ff00::/8", "multicast"},
	}
}

// checkUsable tells what in a range no Service can be reached at.
func checkUsable(r Range) error {
	for _, s := range specials() {
		if r.Overlaps(rangeOf(netip.MustParsePrefix(s.cidr))) {
			return fmt.Errorf("%s reaches into %s (%s), where no Service can be reached: leave that out", r, s.cidr, s.what)
		}
	}
	return nil
}
