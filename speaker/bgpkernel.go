package speaker

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/spec"
)

// kernelRoutes is what the kernel knows of the ways out of this node.
type kernelRoutes interface {
	// Gateway returns the node's default gateway of a family, a link-local one with its interface as zone, and this node's
	// address towards it.
	Gateway(spec.Family) (gateway, source netip.Addr, ok bool)
	// Changed receives, coalesced, when a default route has changed.
	Changed() <-chan struct{}
	// Run watches the default routes until ctx ends.
	Run(ctx context.Context) error
}

// netRoutes asks the kernel.
type netRoutes struct{ changed signal }

func newNetRoutes() *netRoutes { return &netRoutes{newSignal()} }

func (r *netRoutes) Changed() <-chan struct{} { return r.changed }

func (r *netRoutes) Run(ctx context.Context) error {
	updates := make(chan netlink.RouteUpdate, 64)
	if err := netlink.RouteSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watching the kernel's routes: %w", err)
	}
	for u := range updates {
		if isDefault(u.Route) {
			r.changed.raise()
		}
	}
	if ctx.Err() == nil {
		return fmt.Errorf("watching the kernel's routes: %w", unix.ECONNABORTED)
	}
	return nil
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

func (r *netRoutes) Gateway(f spec.Family) (gateway, source netip.Addr, ok bool) {
	family := unix.AF_INET
	if f == spec.IPv6 {
		family = unix.AF_INET6
	}
	all, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return gateway, source, false
	}
	best := -1
	for i := range all {
		gw, known := netip.AddrFromSlice(all[i].Gw)
		if !known || !isDefault(all[i]) || all[i].Type != unix.RTN_UNICAST || best >= 0 && all[i].Priority >= all[best].Priority {
			continue
		}
		best, gateway = i, zoned(gw.Unmap(), all[i].LinkIndex)
	}
	if best < 0 || !gateway.IsValid() {
		return gateway, source, false
	}
	return gateway, sourceTo(gateway), true
}

// zoned adds the interface to a link-local address; the result is invalid if that is gone.
func zoned(a netip.Addr, index int) netip.Addr {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		return a
	}
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone(link.Attrs().Name)
}

func sourceTo(a netip.Addr) netip.Addr {
	found, err := netlink.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{Oif: a.Zone()})
	if err != nil || len(found) == 0 {
		return netip.Addr{}
	}
	source, _ := netip.AddrFromSlice(found[0].Src)
	return source.Unmap()
}
