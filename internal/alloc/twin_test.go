package alloc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// twin is the allocator without any cleverness: it looks at everybody for every question, and tries every address.
type twin struct {
	pools  []spec.Pool // by name
	claims map[types.NamespacedName]*twinClaim
}

type twinClaim struct {
	s     spec.Service
	seen  string
	holds []twinHold
}

type twinHold struct {
	addr    netip.Addr
	pool    string
	leaving bool
}

func newTwin() *twin { return &twin{claims: map[types.NamespacedName]*twinClaim{}} }

func (w *twin) setPools(pools []spec.Pool) {
	w.pools = slices.Clone(pools)
	slices.SortFunc(w.pools, func(a, b spec.Pool) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range w.claims {
		for i, h := range c.holds {
			c.holds[i].pool = w.owner(h.addr, h.pool)
		}
	}
}

func (w *twin) owner(a netip.Addr, marked string) string {
	for _, p := range w.pools {
		if p.Contains(a) {
			return p.Name
		}
	}
	for _, c := range w.claims {
		for _, h := range c.holds {
			if h.addr == a {
				return h.pool
			}
		}
	}
	return marked
}

func (w *twin) claimAll(services []spec.Service) (out []Verdict) {
	fresh := map[types.NamespacedName]bool{}
	for _, s := range services {
		c := w.claims[s.Key]
		if c == nil || c.s.UID != s.UID {
			c = &twinClaim{seen: "never"}
			w.claims[s.Key] = c
		}
		fresh[s.Key] = c.seen != fmt.Sprint(s.Held)
		c.s, c.seen = s, fmt.Sprint(s.Held)
	}
	order := slices.Clone(services)
	slices.SortFunc(order, twinElder)
	for _, s := range order {
		w.adopt(w.claims[s.Key], fresh[s.Key])
	}
	slices.SortFunc(order, func(a, b spec.Service) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	for _, s := range order {
		w.fill(w.claims[s.Key])
	}
	for _, s := range services {
		out = append(out, w.verdict(s.Key))
	}
	return out
}

func twinElder(a, b spec.Service) int {
	switch {
	case a.HeldSince.IsZero() && !b.HeldSince.IsZero():
		return 1
	case b.HeldSince.IsZero() && !a.HeldSince.IsZero():
		return -1
	}
	return cmp.Or(a.HeldSince.Compare(b.HeldSince), a.Created.Compare(b.Created), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Key.String(), b.Key.String()))
}

func (c *twinClaim) wants() []spec.Family {
	if c.s.Policy == spec.SingleStack {
		return c.s.Families[:1]
	}
	return c.s.Families
}

func (c *twinClaim) has(f spec.Family) bool {
	return slices.ContainsFunc(c.holds, func(h twinHold) bool { return !h.leaving && spec.FamilyOf(h.addr) == f })
}

func (w *twin) adopt(c *twinClaim, fresh bool) {
	had := map[spec.Family]bool{spec.IPv4: c.has(spec.IPv4), spec.IPv6: c.has(spec.IPv6)}
	brought := map[spec.Family]bool{}
	for i, a := range c.s.Held {
		f := spec.FamilyOf(a)
		at := slices.IndexFunc(c.holds, func(h twinHold) bool { return h.addr == a })
		p := w.owner(a, c.s.PoolOf(i))
		if at >= 0 && !c.holds[at].leaving || at < 0 && p == "" {
			continue
		}
		if at < 0 {
			at, c.holds = len(c.holds), append(c.holds, twinHold{addr: a, pool: p, leaving: true})
		}
		if slices.Contains(c.wants(), f) && (fresh || !had[f]) && w.conquer(c, a) {
			c.holds[at].leaving = false
			brought[f] = true
		}
	}
	var keep []twinHold
	for _, h := range c.holds {
		f := spec.FamilyOf(h.addr)
		shown := slices.Contains(c.s.Held, h.addr)
		wanted := slices.Contains(c.wants(), f) && !h.leaving && (shown || !brought[f])
		h.leaving = !wanted
		if wanted || shown {
			keep = append(keep, h)
		}
	}
	c.holds = keep
}

// conquer takes the address from whoever has it, unless an elder claim does.
func (w *twin) conquer(c *twinClaim, a netip.Addr) bool {
	for _, o := range w.claims {
		for i, h := range o.holds {
			if h.addr != a || h.leaving || o == c {
				continue
			}
			if twinElder(o.s, c.s) < 0 {
				return false
			}
			o.holds[i].leaving = true
		}
	}
	return true
}

func (w *twin) free(p spec.Pool, f spec.Family) (netip.Addr, bool) {
	for _, r := range p.Ranges {
		for a := r.From; r.Contains(a) && r.Family() == f; a = a.Next() {
			if !w.held(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

func (w *twin) held(a netip.Addr) bool {
	for _, c := range w.claims {
		if slices.ContainsFunc(c.holds, func(h twinHold) bool { return h.addr == a }) {
			return true
		}
	}
	return false
}

func (w *twin) fill(c *twinClaim) {
	var lacking []spec.Family
	for _, f := range c.wants() {
		if !c.has(f) {
			lacking = append(lacking, f)
		}
	}
	found := w.together(lacking)
	for _, f := range lacking {
		if len(found) == len(lacking) {
			break
		}
		for _, p := range w.pools {
			if a, ok := w.free(p, f); ok && p.AutoAssign {
				found = append(found, twinHold{addr: a, pool: p.Name})
				break
			}
		}
	}
	if c.s.Terminated || c.s.Policy == spec.RequireDualStack && len(found) < len(lacking) {
		return
	}
	c.holds = append(c.holds, found...)
}

// together finds all families in one pool.
func (w *twin) together(families []spec.Family) []twinHold {
	for _, p := range w.pools {
		var found []twinHold
		for _, f := range families {
			if a, ok := w.free(p, f); ok && p.AutoAssign {
				found = append(found, twinHold{addr: a, pool: p.Name})
			}
		}
		if len(found) == len(families) {
			return found
		}
	}
	return nil
}

// verdict has no reason and no message.
func (w *twin) verdict(key types.NamespacedName) Verdict {
	v, c := Verdict{Key: key}, w.claims[key]
	have := 0
	for _, f := range c.wants() {
		if c.has(f) {
			have++
		}
		for _, h := range c.holds {
			if spec.FamilyOf(h.addr) == f && !h.leaving {
				v.Addresses = append(v.Addresses, Assigned{h.addr, h.pool})
			}
		}
	}
	v.Allocated = have == len(c.wants()) || have > 0 && c.s.Policy == spec.PreferDualStack
	return v
}
