package alloc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/internal/spec"
)

// offer is an address that a claim may have.
type offer struct {
	number
	pool *pool
}

// candidates lists the pools in which an address may be looked for, in order; a reason when there is none.
func (t *Table) candidates(a *ask) ([]*pool, spec.Reason, string) {
	if a.WantPool != "" {
		p := t.pools[a.WantPool]
		if p == nil || !p.live {
			return nil, ReasonNoPool, "there is no pool " + a.WantPool
		}
		if reason, message := p.refuses(a); reason != "" {
			return nil, reason, message
		}
		return []*pool{p}, "", ""
	}
	if len(t.order) == 0 {
		return nil, ReasonNoPool, "there is no pool that assigns addresses automatically"
	}
	if !slices.ContainsFunc(t.order, (*pool).restricted) {
		return t.order, "", ""
	}
	var out []*pool
	for _, p := range t.order {
		if reason, _ := p.refuses(a); reason == "" {
			out = append(out, p)
		}
	}
	if out == nil {
		return nil, ReasonNotAllowed, "no pool that assigns addresses automatically is for Services of this namespace with these labels"
	}
	return out, "", ""
}

func (p *pool) restricted() bool {
	r := p.rules.Allowed
	return len(r.Namespaces) > 0 || len(r.Selectors) > 0 || len(r.Services) > 0
}

// refuses tells why nothing of the pool is for this Service.
func (p *pool) refuses(a *ask) (spec.Reason, string) {
	switch {
	case p.rules.Disabled:
		return ReasonPoolDisabled, "pool " + p.name + " is disabled"
	case !p.rules.Allowed.Allows(a.Key.Namespace, a.NamespaceLabels, a.Labels):
		return ReasonNotAllowed, "pool " + p.name + " is not for Services of namespace " + a.Key.Namespace + " with these labels"
	}
	return "", ""
}

// search finds an address for each family: one that may be shared; else both in the first pool that has both, or each in
// the first that has it.
func (t *Table) search(id uint32, a *ask, pools []*pool, families []int) (found []offer, missing []int) {
	rest := families
	if a.SharingKey != "" || a.taker != "" {
		rest = nil
		for _, f := range families {
			if o, ok := t.joint(id, a, pools, f); ok {
				found = append(found, o)
			} else {
				rest = append(rest, f)
			}
		}
	}
	if len(rest) == 2 {
		for _, p := range pools {
			if both, ok := t.both(id, p); ok {
				return both, nil
			}
		}
	}
	for _, f := range rest {
		if o, ok := t.first(id, pools, f, found); ok {
			found = append(found, o)
		} else {
			missing = append(missing, f)
		}
	}
	return found, missing
}

func (t *Table) both(id uint32, p *pool) ([]offer, bool) {
	four, ok4 := t.free(p, 0)
	six, ok6 := t.free(p, 1)
	return []offer{{four, p}, {six, p}}, ok4 && ok6 && t.within(id, p, 2)
}

// first finds a free address in the first pool that has one, given what else was found.
func (t *Table) first(id uint32, pools []*pool, f int, found []offer) (offer, bool) {
	for _, p := range pools {
		need := 1
		for _, o := range found {
			if o.pool == p && !t.inUse(o.number) {
				need++
			}
		}
		if n, ok := t.free(p, f); ok && t.within(id, p, need) {
			return offer{n, p}, true
		}
	}
	return offer{}, false
}

// within tells whether the claim's namespace may have so many more addresses of the pool.
func (t *Table) within(id uint32, p *pool, more int) bool {
	return p.quota == nil || p.quota[t.claims.at(id).space()]+more <= p.rules.MaxPerNamespace
}

// joint finds an address that others hold and that the claim may have with them: that of Services with its sharing key, or
// for a reservation, that of the Service it is for. The first pool's lowest.
func (t *Table) joint(id uint32, a *ask, pools []*pool, f int) (best offer, ok bool) {
	others := t.sharers[a.SharingKey]
	if a.reserves {
		others = nil
		if taker := t.find(t.extra(id).taker, false); taker != 0 {
			others = []uint32{taker}
		}
	}
	place := len(pools)
	tried := map[number]bool{}
	for _, other := range others {
		for _, n := range t.from(other, "", f) {
			s := t.segmentOf(n)
			if other == id || tried[n] || s == nil || t.holdingOf(id, n) != nil {
				continue
			}
			tried[n] = true
			at := slices.Index(pools, s.pool)
			if at < 0 || at > place || ok && at == place && n.compare(best.number) > 0 {
				continue
			}
			if reason, _ := t.obstacle(id, n); reason == "" {
				best, place, ok = offer{n, s.pool}, at, true
			}
		}
	}
	return best, ok
}

// obstacle tells which holder of an address keeps the claim from having it too: of several, the eldest.
func (t *Table) obstacle(id uint32, n number) (spec.Reason, string) {
	var in *holding
	for h := range t.holders(n) {
		other := t.holdings.at(h)
		if other.claim != id && (in == nil || t.elder(other, in)) {
			if ok, _ := t.together(id, other); !ok {
				in = other
			}
		}
	}
	if in == nil {
		return "", ""
	}
	ip, holder := n.addr(), t.called(in.claim)
	if _, why := t.together(id, in); why != "" {
		return ReasonSharingConflict, fmt.Sprintf("%s belongs to %s, and they cannot share it: %s", ip, holder, why)
	}
	if in.leaving() {
		return ReasonAddressTaken, fmt.Sprintf("%s is being given up by %s", ip, holder)
	}
	return ReasonAddressTaken, fmt.Sprintf("%s belongs to %s", ip, holder)
}

// together tells whether the claim may come to hold an address beside another holder.
func (t *Table) together(id uint32, other *holding) (bool, string) {
	if ok, why := t.compatible(id, other.claim); !ok {
		return false, why
	}
	return t.shareable(t.byID[other.pool()], id, other.claim)
}

// obtainable tells from which pool the claim would have an address that it asks for by name, or why it cannot. A cooldown
// does not stand against a wish.
func (t *Table) obtainable(id uint32, a *ask, n number) (*pool, spec.Reason, string) {
	if reason, message := t.obstacle(id, n); reason != "" {
		return nil, reason, message
	}
	for h := range t.keepers(n, id) {
		if t.claims.at(h.claim).reserves() { // it has passed all that follows
			return t.byID[h.pool()], "", ""
		}
	}
	s := t.segmentOf(n)
	if s == nil {
		return nil, ReasonNotInPool, n.addr().String() + " is in no pool"
	}
	reason, message := s.pool.refuses(a)
	switch {
	case a.WantPool != "" && a.WantPool != s.pool.name:
		return nil, ReasonNotInPool, fmt.Sprintf("%s is in pool %s, not in pool %s", n.addr(), s.pool.name, a.WantPool)
	case reason != "":
		return nil, reason, message
	case a.reserves && a.WantPool == "" && !s.pool.rules.AutoAssign && len(a.WantIPs) == 0:
		return nil, ReasonNoPool, "pool " + s.pool.name + " does not assign addresses automatically"
	case !s.offers(n):
		return nil, ReasonExcluded, t.whyNever(s, n)
	case !t.inUse(n) && !t.within(id, s.pool, 1):
		return nil, ReasonQuotaReached, s.pool.quotaReached(a)
	}
	return s.pool, "", ""
}

// whyNever tells why an address of a pool is never handed out.
func (t *Table) whyNever(s *segment, n number) string {
	ip := n.addr()
	for _, f := range t.forbidden {
		if f.Contains(ip) {
			return fmt.Sprintf("%s is never handed out: it is %s", ip, f.What)
		}
	}
	if s.usable {
		return fmt.Sprintf("%s is never handed out: pool %s avoids addresses that end in .0 or .255", ip, s.pool.name)
	}
	return fmt.Sprintf("%s is never handed out: pool %s excludes it", ip, s.pool.name)
}

func (p *pool) quotaReached(a *ask) string {
	return fmt.Sprintf("namespace %s has as many addresses of pool %s as it may have, %d", a.Key.Namespace, p.name, p.rules.MaxPerNamespace)
}

// why tells what stands between a claim and an address of the family from these pools.
func (t *Table) why(a *ask, pools []*pool, f int) (spec.Reason, string) {
	var names []string
	var full []string
	until := ""
	for _, p := range pools {
		if p.total[f] == 0 {
			continue
		}
		names = append(names, p.name)
		if _, ok := t.free(p, f); ok {
			full = append(full, p.quotaReached(a))
		}
		if at, ok := t.until(p, f); ok && (until == "" || at < until) {
			until = at
		}
	}
	switch {
	case names == nil && a.WantPool != "":
		return ReasonNoFamily, fmt.Sprintf("pool %s has no %s addresses to hand out", a.WantPool, familyName(f))
	case names == nil:
		return ReasonNoFamily, fmt.Sprintf("no pool that assigns addresses automatically has %s addresses to hand out", familyName(f))
	case full != nil:
		return ReasonQuotaReached, strings.Join(full, "; ")
	case until != "":
		return ReasonResting, fmt.Sprintf("every %s address of %s is in use or rests after its last use; the first may be had at %s", familyName(f), poolNames(names), until)
	}
	return ReasonPoolExhausted, fmt.Sprintf("every %s address of %s is in use", familyName(f), poolNames(names))
}

// poolNames lists at most five.
func poolNames(names []string) string {
	switch n := len(names); {
	case n == 1:
		return "pool " + names[0]
	case n > 5:
		return fmt.Sprintf("pools %s and %d more", strings.Join(names[:5], ", "), n-5)
	}
	return "pools " + strings.Join(names, ", ")
}
