package explain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

// probe is the name of a Service that does not exist: with it the allocator is asked what each pool would answer.
const probe = "\x00probe"

// pools tells of each pool whether the Service could have an address of it, and whether it has.
func (v *View) pools(e *Explanation, s spec.Service, verdict alloc.Verdict) {
	var rows []Row
	for _, p := range v.byPriority() {
		rows = append(rows, v.poolRow(p, s, verdict))
	}
	for _, p := range v.Problems {
		if _, used := v.Snapshot.Pool(p.Name); p.Kind == "IPAddressPool" && !used {
			rows = append(rows, Row{p.Name, Note, p.Reason, p.Message})
		}
	}
	if len(rows) == 0 {
		e.broken("pools", alloc.ReasonNoPool, "there is no IPAddressPool")
		return
	}
	if wish := wishes(s); wish != "" {
		e.ok("pools", "the Service asks for "+wish, rows...)
		return
	}
	e.ok("pools", "in the order in which they are tried", rows...)
}

// byPriority is the order in which pools are tried.
func (v *View) byPriority() []spec.Pool {
	last := func(p spec.Pool) int {
		if p.Priority == 0 {
			return math.MaxInt
		}
		return p.Priority
	}
	pools := slices.Clone(v.Snapshot.Pools)
	slices.SortFunc(pools, func(a, b spec.Pool) int { return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.Name, b.Name)) })
	return pools
}

func (v *View) poolRow(p spec.Pool, s spec.Service, verdict alloc.Verdict) Row {
	free := v.room(p)
	for _, a := range verdict.Addresses {
		if a.Pool == p.Name {
			return Row{p.Name, OK, alloc.ReasonAllocated, fmt.Sprintf("gave %s; %s", a.Addr, free)}
		}
	}
	answer := v.ask(p.Name, s)
	switch {
	case !answer.Allocated && len(answer.Addresses) == 0:
		return Row{p.Name, Note, answer.Reason, answer.Message}
	case len(s.WantIPs) > 0 || s.WantPool != "" && s.WantPool != p.Name || s.Reservation != "":
		return Row{p.Name, Note, ReasonOtherPool, "not asked for; " + free}
	case !p.AutoAssign && s.WantPool != p.Name:
		return Row{p.Name, Note, ReasonManual, "assigns nothing automatically; " + free}
	case verdict.Allocated:
		return Row{p.Name, OK, ReasonLater, "not needed; " + free}
	}
	return Row{p.Name, OK, "", free}
}

// ask returns what the allocator would say if a Service like this one, new and without other wishes, asked for the pool.
func (v *View) ask(pool string, s spec.Service) alloc.Verdict {
	s.Key = types.NamespacedName{Namespace: s.Key.Namespace, Name: probe}
	s.UID, s.Held, s.Pools, s.WantIPs, s.Reservation, s.Reallocate, s.BadWish, s.SharingKey = "", nil, nil, nil, "", "", "", ""
	s.Terminated = false
	s.WantPool = pool
	if s.Policy == spec.RequireDualStack {
		s.Policy = spec.PreferDualStack // the other family may come from another pool
	}
	defer v.table.Release(s.Key)
	return v.table.Claim(s)
}

// room says how much of the pool is free.
func (v *View) room(p spec.Pool) string {
	u := v.table.Usage(p.Name)
	var parts []string
	for _, f := range []struct {
		family spec.Family
		free   int64
	}{{spec.IPv4, u.AvailableIPv4}, {spec.IPv6, u.AvailableIPv6}} {
		if p.Has(f.family) {
			parts = append(parts, fmt.Sprintf("%s %s free", Count(f.free), f.family))
		}
	}
	return strings.Join(parts, ", ")
}

// Count writes a number of addresses for people: from 2⁴⁰ on they are not counted.
func Count(n int64) string {
	if n >= 1<<40 {
		return "∞"
	}
	return fmt.Sprint(n)
}

func wishes(s spec.Service) string {
	var parts []string
	if len(s.WantIPs) > 0 {
		parts = append(parts, joined(s.WantIPs))
	}
	if s.WantPool != "" {
		parts = append(parts, "pool "+s.WantPool)
	}
	if s.Reservation != "" {
		parts = append(parts, "IPReservation "+s.Reservation)
	}
	if s.SharingKey != "" {
		parts = append(parts, "an address shared by key "+s.SharingKey)
	}
	return strings.Join(parts, ", ")
}
