package l2

import (
	"net/netip"
	"slices"
)

// running reports, for each desired address, where it is answered or else why it is not.
func (o *owner) running() Running {
	r := Running{Addresses: map[netip.Addr][]string{}, Problems: map[netip.Addr]Problem{}}
	for _, s := range o.slots {
		if s.responder == nil {
			continue
		}
		for a := range *s.responder.table.Load() {
			r.Addresses[a] = append(r.Addresses[a], s.ifi.Name)
		}
	}
	for _, names := range r.Addresses {
		slices.Sort(names)
	}
	interfaces := *o.interfaces.Load()
	for a, e := range o.desired.Entries {
		if len(r.Addresses[a]) == 0 {
			r.Problems[a] = diagnose(a, e, interfaces)
		}
	}
	return r
}

// diagnose finds the reason for which an address is answered nowhere: of its interfaces' reasons, the one closest to working.
func diagnose(a netip.Addr, e Entry, interfaces []Interface) Problem {
	if !announceable(a) {
		return ProblemInvalid
	}
	worst := ProblemNoInterface
	for _, i := range interfaces {
		if !e.on(i.Name) {
			continue
		}
		p, ok := i.carries(protocolOf(a))
		if ok {
			return ProblemSocket
		}
		if worst == ProblemNoInterface || worst == ProblemLinkDown {
			worst = p
		}
	}
	return worst
}
