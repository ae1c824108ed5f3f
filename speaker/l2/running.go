package l2

import (
	"maps"
	"net/netip"
	"slices"
)

// Running is what is truly answered, as opposed to what was asked for. Its maps must not be changed: the announcer returns
// them again for as long as they hold.
type Running struct {
	// Addresses maps each announced address to the sorted names of the interfaces on which it is answered with their own
	// hardware addresses.
	Addresses map[netip.Addr][]string
	// StandIns maps each address that is answered in another station's stead to the sorted names of the interfaces.
	StandIns map[netip.Addr][]string
	// Problems says why a desired address is answered on no interface at all. Who wants silence has no problem.
	Problems map[netip.Addr]Problem
	// Others says which other station was last heard to have a desired address: with ProblemConflict or ProblemHeld the
	// reason for it, else a rival of what is announced here, forgotten five minutes after its last claim.
	Others map[netip.Addr]Other
}

// Other is a station that has an address of ours.
type Other struct {
	MAC MAC
	// Interface is the name of our interface on which it was heard.
	Interface string
	// Station is its name in Desired.Stations; empty for a host that nobody knows.
	Station string
}

// Problem is the reason for which a desired address is answered nowhere on this node.
type Problem string

// The problems, from the most to the least fundamental.
const (
	// ProblemInvalid: not a unicast address that ARP or NDP could announce.
	ProblemInvalid Problem = "InvalidAddress"
	// ProblemNoInterface: none of the wanted interfaces exists and is eligible.
	ProblemNoInterface Problem = "NoInterface"
	// ProblemLinkDown: every wanted interface is down or has lost its carrier.
	ProblemLinkDown Problem = "LinkDown"
	// ProblemNoIPv4: no wanted interface that is up has an IPv4 address of its own, which ARP needs.
	ProblemNoIPv4 Problem = "NoIPv4"
	// ProblemNoLinkLocal: no wanted interface that is up has a usable IPv6 link-local address, the source of every advertisement.
	ProblemNoLinkLocal Problem = "NoLinkLocal"
	// ProblemSocket: the sockets could not be opened or have failed; they are opened again with growing pauses.
	ProblemSocket Problem = "SocketFailed"
	// ProblemProbing: the network is being asked whether somebody has the address. Changed tells of the result.
	ProblemProbing Problem = "Probing"
	// ProblemConflict: a host that nobody knows has the address; see Others. It is probed again with growing pauses.
	ProblemConflict Problem = "Conflict"
	// ProblemHeld: a station of Desired.Stations has the address; see Others. It is probed again likewise.
	ProblemHeld Problem = "HeldByStation"
)

// report returns what runs. It costs a look at the addresses whose state may have changed since the last time, and a copy
// of the maps if there is any.
func (o *owner) report() Running {
	switch {
	case o.stale:
		o.reported = Running{
			Addresses: map[netip.Addr][]string{}, StandIns: map[netip.Addr][]string{},
			Problems: map[netip.Addr]Problem{}, Others: map[netip.Addr]Other{},
		}
		for a := range o.desired.Entries {
			o.describe(a)
		}
	case len(o.touched) > 0:
		r := o.reported
		o.reported = Running{maps.Clone(r.Addresses), maps.Clone(r.StandIns), maps.Clone(r.Problems), maps.Clone(r.Others)}
		for a := range o.touched {
			o.describe(a)
		}
	}
	o.stale = false
	clear(o.touched)
	return o.reported
}

// describe puts what is to be said about an address in the place of what was said before.
func (o *owner) describe(a netip.Addr) {
	r := o.reported
	delete(r.Addresses, a)
	delete(r.StandIns, a)
	delete(r.Problems, a)
	delete(r.Others, a)
	e, ok := o.desired.Entries[a]
	if !ok {
		return
	}
	own, others := o.answeredOn(a)
	set(r.Addresses, a, own)
	set(r.StandIns, a, others)
	if len(own)+len(others) == 0 && (e.As == nil || len(e.As) > 0) {
		r.Problems[a] = o.diagnose(a, e)
	}
	if other, ok := o.others[a]; ok {
		r.Others[a] = Other{other.mac, other.on, o.desired.Stations[other.mac]}
	}
}

func set(m map[netip.Addr][]string, a netip.Addr, names []string) {
	if len(names) > 0 {
		m[a] = names
	}
}

func (o *owner) answeredOn(a netip.Addr) (own, others []string) {
	for key, s := range o.slots {
		if s.responder == nil || key.proto != protocolOf(a) {
			continue
		}
		switch s.responder.table.find(a).role {
		case owned:
			own = append(own, s.ifi.Name)
		case standing:
			others = append(others, s.ifi.Name)
		}
	}
	slices.Sort(own)
	slices.Sort(others)
	return own, others
}

// diagnose finds the reason for which an address is answered nowhere: what was heard of others, else of its interfaces'
// reasons the one closest to working.
func (o *owner) diagnose(a netip.Addr, e Entry) Problem {
	if !announceable(a) {
		return ProblemInvalid
	}
	t := o.trials[a]
	if t != nil && t.lost {
		if other, ok := o.others[a]; ok && o.desired.Stations[other.mac] != "" {
			return ProblemHeld
		}
		return ProblemConflict
	}
	worst := ProblemNoInterface
	for _, i := range *o.interfaces.Load() {
		if !e.on(i.Name) {
			continue
		}
		p, ok := i.carries(protocolOf(a))
		if ok {
			worst = ProblemSocket
			break
		}
		if worst == ProblemNoInterface || worst == ProblemLinkDown {
			worst = p
		}
	}
	if t != nil && len(t.pending) > 0 {
		return ProblemProbing
	}
	return worst
}
