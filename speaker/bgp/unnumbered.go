package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

// adverts is the pause between advertisements while a router is looked for.
const adverts = time.Second

// dialUnnumbered finds the router of an interface, then connects to it.
func dialUnnumbered(ctx context.Context, s Session) (net.Conn, error) {
	search, cancel := context.WithTimeout(ctx, s.ConnectTime)
	defer cancel()
	router, err := findRouter(search, s.Interface)
	if err != nil {
		return nil, err
	}
	s.SourceInterface = s.Interface
	return dialRouter(ctx, s, router)
}

// findRouter waits for a router advertisement (RFC 4861) on an interface and returns its sender. Until then it advertises
// this node, too, as a router for nothing (lifetime 0): a router that finds its peers in the same way waits for that.
func findRouter(ctx context.Context, name string) (netip.Addr, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, because(ReasonSource, fmt.Errorf("finding interface %s: %w", name, err))
	}
	conn, us, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return netip.Addr{}, because(ReasonSource, fmt.Errorf("opening an ICMPv6 socket on %s: %w", name, err))
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := listenForRouters(conn); err != nil {
		return netip.Addr{}, because(ReasonInternal, fmt.Errorf("listening for routers on %s: %w", name, err))
	}
	for ctx.Err() == nil {
		if err := advertise(conn, ifi); err != nil && ctx.Err() == nil {
			return netip.Addr{}, because(ReasonSource, fmt.Errorf("advertising this node on %s: %w", name, err))
		}
		if router, ok := nextRouter(conn, us.WithZone(""), time.Now().Add(adverts)); ok {
			return router.WithZone(name), nil
		}
	}
	return netip.Addr{}, because(ReasonNoRouter, fmt.Errorf("no router advertises itself on %s", name))
}

func listenForRouters(conn *ndp.Conn) error {
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterAdvertisement)
	return errors.Join(
		conn.SetICMPFilter(&only), conn.SetControlMessage(ipv6.FlagHopLimit, true), conn.JoinGroup(netip.IPv6LinkLocalAllNodes()),
	)
}

// advertise asks for advertisements, and sends this node's own.
func advertise(conn *ndp.Conn, ifi *net.Interface) error {
	options := []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}}
	return errors.Join(
		conn.WriteTo(&ndp.RouterSolicitation{Options: options}, nil, netip.IPv6LinkLocalAllRouters()),
		conn.WriteTo(&ndp.RouterAdvertisement{Options: options}, nil, netip.IPv6LinkLocalAllNodes()),
	)
}

// nextRouter returns the sender of the next router advertisement that is valid (RFC 4861 section 6.1.2) and not our own.
func nextRouter(conn *ndp.Conn, us netip.Addr, deadline time.Time) (netip.Addr, bool) {
	if conn.SetReadDeadline(deadline) != nil {
		return netip.Addr{}, false
	}
	for {
		m, cm, from, err := conn.ReadFrom()
		var failed net.Error
		switch {
		case errors.As(err, &failed) || errors.Is(err, net.ErrClosed):
			return netip.Addr{}, false
		case err != nil || cm == nil || cm.HopLimit != 255:
			continue // not for us, or not valid
		}
		from = from.WithZone("")
		if _, ok := m.(*ndp.RouterAdvertisement); ok && from.IsLinkLocalUnicast() && from != us {
			return from, true
		}
	}
}
