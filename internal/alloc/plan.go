package alloc

import (
	"fmt"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/internal/spec"
)

// goal is what is to become of one family of a claim: what it takes, and, once it has that, what else it may keep. Where
// that cannot be, the reason says why, and what the claim has stays: the new address is secured before the old one goes.
type goal struct {
	family  int
	take    []offer
	only    []number // besides what it takes, the claim keeps these of the family; nil: all that it has
	reason  spec.Reason
	message string
	wish    bool // what cannot be is an explicit wish: having some address is not enough
}

// plan compares what a claim has with what it asks for. It changes nothing.
func (t *Table) plan(id uint32, a *ask) (goals []goal) {
	shape := t.claims.at(id).shape()
	if a.BadWish != "" {
		return []goal{{reason: spec.ReasonBadWish, message: a.BadWish, wish: true}}
	}
	if ip, ok := a.strange(shape); ok {
		return []goal{{reason: ReasonWrongFamily, message: fmt.Sprintf("%s is asked for, but the Service has no %s", ip, familyName(numberOf(ip).family())), wish: true}}
	}
	reservation := t.reservationOf(a)
	var open []int
	for f := range shape.families() {
		wanted := a.wanted(f)
		switch {
		case len(wanted) > 0:
			goals = append(goals, t.explicit(id, a, f, wanted))
		case reservation != 0 || a.Reservation != "":
			goals = append(goals, t.reserved(id, a, f, reservation))
		case t.moves(id, a) || !t.settled(id, a, f):
			open = append(open, f)
		case a.WantPool != "":
			goals = append(goals, goal{family: f, only: t.from(id, a.WantPool, f)})
		}
	}
	return append(goals, t.automatic(id, a, open)...)
}

// settled tells whether the claim has an address of the family, of the pool that it wants.
func (t *Table) settled(id uint32, a *ask, f int) bool {
	if a.WantPool != "" {
		return len(t.from(id, a.WantPool, f)) > 0
	}
	return t.has(id, f)
}

// from lists the addresses of a family that the claim has from a pool, "" for any.
func (t *Table) from(id uint32, pool string, f int) (out []number) {
	for h := t.claims.at(id).first; h != 0; {
		p := t.holdings.at(h)
		if p.family() == f && !p.leaving() && (pool == "" || t.byID[p.pool()].name == pool) {
			out = append(out, p.number)
		}
		h = p.next
	}
	return out
}

// moves tells whether the claim is to get other addresses in place of those that it has, once.
func (t *Table) moves(id uint32, a *ask) bool {
	e := t.extras[id]
	return a.Reallocate != "" && e != nil && e.moved != a.Reallocate && (t.has(id, 0) || t.has(id, 1))
}

func (t *Table) explicit(id uint32, a *ask, f int, wanted []number) goal {
	g := goal{family: f, only: wanted}
	for _, n := range wanted {
		if h := t.holdingOf(id, n); h != nil && !h.leaving() {
			continue
		}
		p, reason, message := t.obtainable(id, a, n)
		if reason != "" {
			g.reason, g.message, g.wish = reason, message, true
			continue
		}
		g.take = append(g.take, offer{n, p})
	}
	return g
}

// reserved: the reservation's addresses are wanted. When it is gone, what the Service has is its own.
func (t *Table) reserved(id uint32, a *ask, f int, reservation uint32) goal {
	has := t.has(id, f)
	if reservation == 0 {
		if has {
			return goal{family: f}
		}
		return goal{family: f, reason: ReasonNoReservation, message: fmt.Sprintf("there is no IPReservation %s in namespace %s", a.Reservation, a.Key.Namespace)}
	}
	if wanted := t.from(reservation, "", f); len(wanted) > 0 {
		return t.explicit(id, a, f, wanted)
	}
	return goal{
		family: f, reason: ReasonNoReservation, wish: has,
		message: fmt.Sprintf("%s has no %s address", t.called(reservation), familyName(f)),
	}
}

func (t *Table) automatic(id uint32, a *ask, families []int) (goals []goal) {
	if len(families) == 0 {
		return nil
	}
	replace := a.WantPool != "" || t.moves(id, a)
	pools, reason, message := t.candidates(a)
	found, missing := t.search(id, a, pools, families)
	for _, o := range found {
		g := goal{family: o.family(), take: []offer{o}}
		if replace {
			g.only = []number{}
		}
		goals = append(goals, g)
	}
	for _, f := range missing {
		g := goal{family: f, reason: reason, message: message, wish: a.WantPool != "" && t.has(id, f)}
		if reason == "" {
			g.reason, g.message = t.why(a, pools, f)
		}
		goals = append(goals, g)
	}
	return goals
}

// fill does what the plan says. done: the claim has all that it asks for, and nothing needs to be explained.
func (t *Table) fill(id uint32, a *ask) (done bool) {
	if a.Terminated {
		return false
	}
	if t.plain(a) && t.fillPlain(id) {
		return true
	}
	goals := t.plan(id, a)
	moves := t.moves(id, a)
	if !unmet(goals) && a.Reallocate != "" {
		t.extras[id].moved = a.Reallocate
	}
	whole := a.Policy == spec.RequireDualStack && !t.has(id, 0) && !t.has(id, 1) || moves
	if whole && unmet(goals) {
		return false
	}
	changed := false
	for _, g := range goals {
		changed = t.reach(id, a, g) || changed
	}
	if changed && a.reserves {
		t.wakeTakers(id, a)
	}
	return !unmet(goals)
}

// plain tells whether the Service wants nothing in particular, as most do.
func (t *Table) plain(a *ask) bool {
	return a.BadWish == "" && len(a.WantIPs) == 0 && a.WantPool == "" && a.SharingKey == "" && a.Reservation == "" &&
		a.Reallocate == "" && !a.reserves && len(t.takers[a.Key]) == 0 && !slices.ContainsFunc(t.order, (*pool).restricted)
}

// fillPlain is the short way for those who want nothing in particular and lack one address at most.
func (t *Table) fillPlain(id uint32) (done bool) {
	missing, lacks := 0, 0
	for f := range t.claims.at(id).shape().families() {
		if !t.has(id, f) {
			missing, lacks = f, lacks+1
		}
	}
	if lacks != 1 {
		return lacks == 0
	}
	o, ok := t.first(id, t.order, missing, nil)
	if ok {
		t.hold(id, o.number, o.pool)
	}
	return ok
}

func unmet(goals []goal) bool {
	return slices.ContainsFunc(goals, func(g goal) bool { return g.reason != "" })
}

// reach takes what the goal takes, and then lets go of the rest.
func (t *Table) reach(id uint32, a *ask, g goal) (changed bool) {
	keep := slices.Clone(g.only)
	for _, o := range g.take {
		if h := t.holdingOf(id, o.number); h != nil {
			t.leave(h, false)
		} else {
			t.hold(id, o.number, o.pool)
		}
		keep = append(keep, o.number)
		changed = true
	}
	if g.reason != "" || g.only == nil {
		return changed
	}
	for _, h := range t.held(id) {
		if p := t.holdings.at(h); p.family() == g.family && !p.leaving() && !slices.Contains(keep, p.number) {
			t.letGo(h, a)
			changed = true
		}
	}
	return changed
}

// explain notes what the claim still lacks and why, once all had their turn: said earlier, it might be untrue when the
// pass ends, and the Service would be written twice.
func (t *Table) explain(id uint32, a *ask) {
	missing := 0
	for f := range t.claims.at(id).shape().families() {
		if !t.has(id, f) {
			missing++
		}
	}
	if a.Terminated {
		if missing == 0 {
			t.satisfied(id)
		} else {
			t.unsatisfied(id, note{reason: ReasonTerminating, message: "the Service is being deleted: it gets no new address"})
		}
		return
	}
	goals := t.plan(id, a)
	if !unmet(goals) {
		t.satisfied(id)
		return
	}
	t.unsatisfied(id, summary(a, goals, missing))
}

// summary puts into one what the goals say. The reason is that of a wish which cannot be met, if there is one.
func summary(a *ask, goals []goal, missing int) note {
	n := note{lacks: true}
	gets := 0
	for _, g := range goals {
		if g.reason == "" {
			gets++
			continue
		}
		if n.reason == "" || g.wish && !n.refused {
			n.reason = g.reason
		}
		n.refused = n.refused || g.wish
		n.append(g.message)
	}
	switch {
	case n.refused:
	case missing == 0:
		n.reason, n.message = ReasonNotMoved, "it stays where it is for the time being: "+n.message
	case a.Policy == spec.PreferDualStack && missing == 1:
		n.reason = ReasonOneFamily
	case a.Policy == spec.RequireDualStack && missing == 2 && gets > 0:
		n.message += "; RequireDualStack takes both families or none"
	}
	return n
}

// append adds to the message what it does not say yet.
func (n *note) append(message string) {
	switch {
	case n.message == "":
		n.message = message
	case n.message != message:
		n.message += "; " + message
	}
}

// satisfied and unsatisfied keep what is known of losses.
func (t *Table) satisfied(id uint32) {
	if n := t.notes[id]; n != nil && len(n.lost) == 0 {
		delete(t.notes, id)
	} else if n != nil {
		*n = note{lost: n.lost}
	}
}

func (t *Table) unsatisfied(id uint32, n note) {
	n.lost = t.note(id).lost
	*t.notes[id] = n
}

func (t *Table) until(p *pool, f int) (string, bool) {
	at, ok := p.rests(f)
	return at.Format(time.RFC3339), ok
}
