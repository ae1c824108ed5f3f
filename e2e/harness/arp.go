package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/internal/nettest"
)

// ErrSilent: nobody answered for the address.
var ErrSilent = errors.New("nobody answers")

// listenFor is how long WhoAnswers waits for answers. On a quiet LAN an answer takes well under a millisecond.
const listenFor = 500 * time.Millisecond

// WhoAnswers asks the LAN from a host for an address, with ARP or with a neighbour solicitation, and returns the hardware
// addresses of all who answered, each once, or ErrSilent.
func WhoAnswers(ctx context.Context, from *cluster.Host, a netip.Addr) ([]net.HardwareAddr, error) {
	var macs []net.HardwareAddr
	err := from.Do(func() error {
		heard, err := nettest.Ask(a, listenFor)
		for _, h := range heard {
			macs = append(macs, h.MAC)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("asking for %s from %s: %w", a, from.Name(), err)
	}
	if len(macs) == 0 {
		return nil, fmt.Errorf("asking for %s from %s: %w", a, from.Name(), ErrSilent)
	}
	slices.SortFunc(macs, func(a, b net.HardwareAddr) int { return bytes.Compare(a, b) })
	return slices.CompactFunc(macs, func(a, b net.HardwareAddr) bool { return bytes.Equal(a, b) }), ctx.Err()
}
