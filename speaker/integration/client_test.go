package integration

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

// listenFor is how long a neighbour listens for answers.
const listenFor = 250 * time.Millisecond

// answers asks the LAN for an address and returns the distinct hardware addresses of all who answered, sorted.
func (h *host) answers(a netip.Addr) (macs []string) {
	h.t.Helper()
	must(h.t, h.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		ask := askNDP
		if a.Is4() {
			ask = askARP
		}
		macs, err = ask(i, a)
		return err
	}))
	slices.Sort(macs)
	return slices.Compact(macs)
}

func askARP(i *net.Interface, a netip.Addr) (macs []string, err error) {
	c, err := arp.Dial(i)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(listenFor)), c.Request(a)); err != nil {
		return nil, err
	}
	for {
		p, _, err := c.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return macs, nil
		}
		if err == nil && p.Operation == arp.OperationReply && p.SenderIP == a && p.TargetHardwareAddr.String() == i.HardwareAddr.String() {
			macs = append(macs, p.SenderHardwareAddr.String())
		}
	}
}

func askNDP(i *net.Interface, a netip.Addr) (macs []string, err error) {
	c, _, err := ndp.Listen(i, ndp.LinkLocal)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
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
		na, ok := m.(*ndp.NeighborAdvertisement)
		if err != nil || !ok || na.TargetAddress != a || !na.Solicited {
			continue
		}
		for _, o := range na.Options {
			if ll, ok := o.(*ndp.LinkLayerAddress); ok && ll.Direction == ndp.Target {
				macs = append(macs, ll.Addr.String())
			}
		}
	}
}
