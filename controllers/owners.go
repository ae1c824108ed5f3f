package controllers

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// owner is the node whose MAC neighbours have for an address, as far as its speaker's word goes.
type owner struct {
	node  string
	epoch int64
}

// newer tells whether a claim replaces another. Of two of one age the first by name is taken, so that every look gives the same.
func (o owner) newer(than owner) bool {
	return than.node == "" || cmp.Or(cmp.Compare(o.epoch, than.epoch), cmp.Compare(than.node, o.node)) > 0
}

// counting returns the statuses that count: those of nodes whose speaker Pod is Ready and that no other such speaker misses.
// Where two sides of a partition miss each other, the side that fewer miss is believed, and neither is silenced when they are
// equal: then epochs decide.
func counting(statuses []v1beta1.SpeakerStatus, ready map[string]bool) (out []*v1beta1.SpeakerStatus) {
	votes := map[string]int{}
	speaks := func(s *v1beta1.SpeakerStatus) bool { return ready[s.Name] }
	for i := range statuses {
		if s := &statuses[i]; speaks(s) {
			for _, n := range s.Status.Members.Missing {
				votes[n]++
			}
		}
	}
	missing := map[string]bool{}
	for i := range statuses {
		if s := &statuses[i]; speaks(s) {
			for _, n := range s.Status.Members.Missing {
				missing[n] = missing[n] || votes[s.Name] < votes[n]
			}
		}
	}
	for i := range statuses {
		if s := &statuses[i]; speaks(s) && !missing[s.Name] {
			out = append(out, s)
		}
	}
	return out
}

// ownersOf returns who announces each of these addresses, which are sorted. What speakers say of others is passed over, so
// that no list of theirs, however long its ranges, costs more than the addresses that there are.
func ownersOf(held []netip.Addr, statuses []*v1beta1.SpeakerStatus) map[netip.Addr]owner {
	owners := make(map[netip.Addr]owner, len(held))
	take := func(a netip.Addr, o owner) {
		if o.newer(owners[a]) {
			owners[a] = o
		}
	}
	for _, s := range statuses {
		epochs := map[netip.Addr]int64{}
		for _, c := range s.Status.L2.Claims {
			among(held, c.Addresses, func(a netip.Addr) { epochs[a] = c.Epoch })
		}
		among(held, s.Status.L2.Addresses, func(a netip.Addr) { take(a, owner{s.Name, epochs[a]}) })
		for _, i := range s.Status.L2.StandIns { // a claim of somebody's own, if there is one, is the newer
			among(held, i.Addresses, func(a netip.Addr) { take(a, owner{cmp.Or(i.Node, s.Name), -1}) })
		}
	}
	return owners
}

// among calls f for each held address that is in one of the ranges.
func among(held []netip.Addr, ranges []string, f func(netip.Addr)) {
	for _, s := range ranges {
		r, err := spec.ParseRange(s)
		if err != nil {
			continue // not written by a speaker of ours
		}
		i, _ := slices.BinarySearchFunc(held, r.From, netip.Addr.Compare)
		for ; i < len(held) && r.Contains(held[i]); i++ {
			f(held[i])
		}
	}
}

// trouble returns what keeps a node from announcing an address, in its own words; "" for nothing that it tells of.
func trouble(s *v1beta1.SpeakerStatus, a netip.Addr) (reason spec.Reason, message string) {
	for _, p := range s.Status.L2.Problems {
		among([]netip.Addr{a}, p.Addresses, func(netip.Addr) { reason = spec.Reason(p.Reason) })
	}
	if reason == "" {
		return "", ""
	}
	for _, c := range s.Status.L2.Conflicts {
		if c.Address == a.String() {
			host := "host " + c.MAC
			if c.Node != "" {
				host = "node " + c.Node + " (" + c.MAC + ")"
			}
			return reason, host + " has the address, says node " + s.Name + " of its interface " + c.Interface
		}
	}
	return reason, "node " + s.Name + " is to announce it and cannot: " + string(reason)
}
