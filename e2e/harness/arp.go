package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// ErrSilent: nobody answered for the address.
var ErrSilent = errors.New("nobody answers")

// listenFor is how long WhoAnswers waits for answers. On a quiet LAN an answer takes well under a millisecond.
const listenFor = 500 * time.Millisecond

// WhoAnswers asks the LAN from a host for an address, with ARP or with a neighbour solicitation, and returns the hardware
// addresses of all who answered, each once, or ErrSilent.
func WhoAnswers(ctx context.Context, from *cluster.Host, a netip.Addr) ([]net.HardwareAddr, error) {
	var macs []net.HardwareAddr
	err := from.Do(func() (err error) {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if a.Is4() {
			macs, err = askARP(i, a)
			return err
		}
		macs, err = askNDP(i, a)
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

func askARP(i *net.Interface, a netip.Addr) (macs []net.HardwareAddr, err error) {
	c, err := arp.Dial(i)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(listenFor)), c.Request(a)); err != nil {
		return nil, err
	}
	for {
		p, _, err := c.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return macs, nil
		}
		if err == nil && p.Operation == arp.OperationReply && p.SenderIP == a {
			macs = append(macs, p.SenderHardwareAddr)
		}
	}
}

func askNDP(i *net.Interface, a netip.Addr) (macs []net.HardwareAddr, err error) {
	c, _, err := ndp.Listen(i, ndp.LinkLocal)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	group, err := ndp.SolicitedNodeMulticast(a)
	if err != nil {
		return nil, err
	}
	ask := &ndp.NeighborSolicitation{
		TargetAddress: a,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: i.HardwareAddr}},
	}
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(listenFor)), c.WriteTo(ask, nil, group)); err != nil {
		return nil, err
	}
	for {
		m, _, _, err := c.ReadFrom()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return macs, nil
		}
		if na, ok := m.(*ndp.NeighborAdvertisement); err == nil && ok && na.TargetAddress == a {
			for _, o := range na.Options {
				if ll, ok := o.(*ndp.LinkLayerAddress); ok && ll.Direction == ndp.Target {
					macs = append(macs, ll.Addr)
				}
			}
		}
	}
}
