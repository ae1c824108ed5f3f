//go:build linux

package nettest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

// Answer is what was heard of an address that was asked for.
type Answer struct {
	MAC net.HardwareAddr
	// ToUs: it was no announcement to all, nor an answer to somebody else.
	ToUs bool
}

// Ask asks for an address, with ARP or with a neighbour solicitation, from the caller's eth0, and returns all that it hears of it
// in so much time.
func Ask(a netip.Addr, listenFor time.Duration) ([]Answer, error) {
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	if a.Is4() {
		return askARP(i, a, listenFor)
	}
	return askNDP(i, a, listenFor)
}

func askARP(i *net.Interface, a netip.Addr, listenFor time.Duration) (heard []Answer, err error) {
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
			return heard, nil
		}
		if err == nil && p.Operation == arp.OperationReply && p.SenderIP == a {
			heard = append(heard, Answer{p.SenderHardwareAddr, p.TargetHardwareAddr.String() == i.HardwareAddr.String()})
		}
	}
}

func askNDP(i *net.Interface, a netip.Addr, listenFor time.Duration) (heard []Answer, err error) {
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
			return heard, nil
		}
		na, ok := m.(*ndp.NeighborAdvertisement)
		if err != nil || !ok || na.TargetAddress != a {
			continue
		}
		for _, o := range na.Options {
			if ll, ok := o.(*ndp.LinkLayerAddress); ok && ll.Direction == ndp.Target {
				heard = append(heard, Answer{ll.Addr, na.Solicited})
			}
		}
	}
}
