package alloc

import (
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// ask is what a Service asks for, or a reservation, which is treated as a Service of its own kind.
type ask struct {
	*spec.Service
	reserves bool
	taker    string // of a reservation: the Service that takes its addresses unasked
}

func reservationAsk(r *spec.Reservation) ask {
	s := &spec.Service{
		Key: r.Key, UID: r.UID, Created: r.Created, Families: r.Families, WantPool: r.Pool, WantIPs: r.Addresses,
		Labels: r.Labels, NamespaceLabels: r.NamespaceLabels, Held: r.Held, HeldSince: r.HeldSince, Pools: r.Pools,
	}
	if len(r.Addresses) > 0 {
		s.Families = nil
		for _, a := range r.Addresses {
			s.Families = append(s.Families, spec.FamilyOf(a))
		}
	}
	if len(s.Families) > 1 {
		s.Policy = spec.RequireDualStack
	}
	return ask{Service: s, reserves: true, taker: r.ServiceName}
}

func (a *ask) shape() shape {
	if a.reserves {
		return shapeOf(a.Service) | reserves
	}
	return shapeOf(a.Service)
}

// turn puts those who ask into the order in which they are served: addresses asked for by name, then pools asked for by
// name, then everything automatic. Who takes a reservation's addresses comes when it has some.
func (t *Table) turn(a *ask) int {
	switch {
	case len(a.WantIPs) > 0:
		return 0
	case a.WantPool != "":
		return 1
	case a.Reservation == "" && t.reservationOf(a) == 0:
		return 2
	}
	return 3
}

// wanted lists the addresses of a family that are asked for by name.
func (a *ask) wanted(f int) []number {
	var out []number
	for _, ip := range a.WantIPs {
		if n := numberOf(ip); n.family() == f && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// strange returns an address that is asked for by name and is of a family that the Service does not have.
func (a *ask) strange(s shape) (netip.Addr, bool) {
	i := slices.IndexFunc(a.WantIPs, func(ip netip.Addr) bool { return !s.wants(numberOf(ip).family()) })
	if i < 0 {
		return netip.Addr{}, false
	}
	return a.WantIPs[i], true
}
