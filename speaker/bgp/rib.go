package bgp

import (
	"net/netip"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// hops are the next hops that a session has settled on, from the two ends' addresses and what the router agreed to.
type hops struct {
	v4, v6 netip.Addr
	// families are those that the router takes.
	families wire.Family
	// mixed: IPv4 routes may have IPv6 next hops.
	mixed bool
}

// settle chooses the next hops: what was asked for, else the session's own address, else one of the other family on
// the same interface, else an IPv6 next hop for IPv4 where the router takes it.
func settle(s Session, local netip.Addr, siblings []netip.Addr, agreed wire.Session) hops {
	h := hops{v4: s.NextHop4, v6: s.NextHop6, families: agreed.Families, mixed: agreed.IPv4OverIPv6}
	candidates := append([]netip.Addr{local.Unmap()}, siblings...)
	if !h.v4.IsValid() {
		h.v4 = first(candidates, netip.Addr.Is4)
	}
	if !h.v6.IsValid() {
		h.v6 = first(candidates, netip.Addr.Is6)
	}
	// Without an IPv4 address of its own, or unnumbered, this end is reached by IPv6 alone.
	if !s.NextHop4.IsValid() && h.mixed && (!h.v4.IsValid() || s.Interface != "") {
		h.v4 = h.v6
	}
	return h
}

// first returns the first address that fits, one that is known beyond its link before one that is not.
func first(addrs []netip.Addr, fits func(netip.Addr) bool) netip.Addr {
	var second netip.Addr
	for _, a := range addrs {
		switch {
		case !fits(a) || a.IsLoopback() || a.IsUnspecified():
		case !a.IsLinkLocalUnicast():
			return a
		case !second.IsValid():
			second = a
		}
	}
	return second
}

// hop settles the next hop that a router is told of one prefix, or why it is told nothing of it.
func (h hops) hop(p netip.Prefix, r Route) (hop netip.Addr, _ Reason) {
	family := wire.FamilyOf(p.Addr())
	hop = r.NextHop
	if !hop.IsValid() {
		hop = map[wire.Family]netip.Addr{wire.IPv4: h.v4, wire.IPv6: h.v6}[family]
	}
	switch {
	case !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().IsMulticast():
		return netip.Addr{}, ReasonPrefix
	case !h.families.Has(family):
		return netip.Addr{}, ReasonFamily
	case !hop.IsValid() || hop.IsLoopback() || hop.IsUnspecified() || hop.IsMulticast(),
		family == wire.IPv6 && !hop.Is6(), family == wire.IPv4 && hop.Is6() && !h.mixed:
		return netip.Addr{}, ReasonNextHop
	case r.tooMany():
		return netip.Addr{}, ReasonAttributes
	}
	return hop, ReasonNone
}

// tell settles what a router is told of all routes.
func (h hops) tell(routes map[netip.Prefix]Route, draining bool) (all map[netip.Prefix]said, withheld map[netip.Prefix]Reason) {
	all, withheld = make(map[netip.Prefix]said, len(routes)), map[netip.Prefix]Reason{}
	var same alike
	for p, r := range routes {
		if draining {
			r = r.drained()
		}
		hop, why := h.hop(p, r)
		if why != ReasonNone {
			withheld[p] = why
			continue
		}
		all[p] = said{same.one(r), hop}
	}
	return all, withheld
}

// differ compares what is said with what should be.
func differ(running, desired map[netip.Prefix]said) (add, remove []netip.Prefix) {
	for p, want := range desired {
		if have, ok := running[p]; !ok || !have.equal(want) {
			add = append(add, p)
		}
	}
	for p := range running {
		if _, ok := desired[p]; !ok {
			remove = append(remove, p)
		}
	}
	return add, remove
}
