package integration

import (
	"net/netip"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// listenFor is how long a neighbour listens for answers.
const listenFor = 250 * time.Millisecond

// answers asks the LAN for an address and returns the distinct hardware addresses of all who answered, sorted.
func (h *host) answers(a netip.Addr) (macs []string) {
	h.t.Helper()
	must(h.t, h.Do(func() error {
		heard, err := nettest.Ask(a, listenFor)
		for _, x := range heard {
			if x.ToUs {
				macs = append(macs, x.MAC.String())
			}
		}
		return err
	}))
	slices.Sort(macs)
	return slices.Compact(macs)
}
