package alloc

import (
	"slices"
)

// adopt secures the addresses in the status, whoever put them there, and lets go of what the claim has no more use for. A
// status that was seen before says nothing new about a family of which the table has promised an address since: it is an
// old view, or the write is on its way. An address that the claim cannot keep is leaving.
func (t *Table) adopt(id uint32, a *ask, fresh bool) {
	t.outlive(id, a)
	t.part(id)
	c := t.claims.at(id)
	stale := [2]bool{!fresh && t.has(id, 0), !fresh && t.has(id, 1)}
	var brought [2]bool
	for i, ip := range a.Held {
		n := numberOf(ip)
		h := t.holdingOf(id, n)
		if h != nil && !h.leaving() {
			continue
		}
		known := h != nil
		if !known {
			p := t.ownerOf(n, a.PoolOf(i))
			if p == nil {
				continue
			}
			h = t.hold(id, n, p)
		}
		f := n.family()
		keeps := c.shape().wants(f) && !stale[f] && t.wins(id, h, known)
		t.leave(h, !keeps)
		brought[f] = brought[f] || keeps
	}
	t.trim(id, a, brought)
}

// part looks for claims that may no longer share an address, since one of them was edited. A reservation keeps it, else
// the elder claim.
func (t *Table) part(id uint32) {
	for _, mine := range t.held(id) {
		h := t.holdings.at(mine)
		if h.leaving() {
			continue
		}
		for other := range t.keepers(h.number, id) {
			if ok, _ := t.compatible(id, other.claim); ok {
				continue
			}
			if t.yields(id, other.claim) {
				t.lose(id, h.number, other.claim)
				t.leave(h, true)
				break
			}
			t.displace(other, id)
		}
	}
}

// yields tells whether x goes when x and y may not share any more.
func (t *Table) yields(x, y uint32) bool {
	if a, b := t.claims.at(x).reserves(), t.claims.at(y).reserves(); a != b {
		return b
	}
	return t.age(y).compare(t.age(x)) < 0
}

// trim lets go of addresses of families that are wanted no more, and of promises in place of which the status brought
// another address.
func (t *Table) trim(id uint32, a *ask, brought [2]bool) {
	c := t.claims.at(id)
	for _, h := range t.held(id) {
		p := t.holdings.at(h)
		f := p.family()
		if !c.shape().wants(f) || p.leaving() || brought[f] && !slices.Contains(a.Held, p.addr()) {
			t.letGo(h, a)
		}
	}
}

// outlive forgets losses that were told and that the status does not show any more.
func (t *Table) outlive(id uint32, a *ask) {
	if note := t.notes[id]; note != nil {
		note.lost = slices.DeleteFunc(note.lost, func(l loss) bool { return l.told && !slices.Contains(a.Held, l.addr()) })
	}
}

// told notes that the present verdict tells of all losses.
func (t *Table) told(id uint32) {
	if note := t.notes[id]; note != nil {
		for i := range note.lost {
			note.lost[i].told = true
		}
	}
}

// letGo drops an address, or keeps it from others while the status shows it.
func (t *Table) letGo(h uint32, a *ask) {
	if p := t.holdings.at(h); slices.Contains(a.Held, p.addr()) {
		t.leave(p, true)
		return
	}
	t.drop(h)
}

func (t *Table) holdingOf(id uint32, n number) *holding {
	for h := t.claims.at(id).first; h != 0; {
		p := t.holdings.at(h)
		if p.number == n {
			return p
		}
		h = p.next
	}
	return nil
}

// ownerOf returns the pool that an address in a status belongs to: the one that contains it, else the one by which its
// holders know it, else the one it is marked with, else none: somebody else's.
func (t *Table) ownerOf(n number, marked string) *pool {
	if s := t.segmentOf(n); s != nil {
		return s.pool
	}
	for h := range t.holders(n) {
		return t.byID[t.holdings.at(h).pool()]
	}
	if marked != "" {
		return t.poolNamed(marked)
	}
	return nil
}

// wins tells whether the claim keeps an address that its status shows. The elder of two claims that may not share it does;
// a younger one that had it is displaced. known: the claim had it by this table before, as in part.
func (t *Table) wins(id uint32, h *holding, known bool) bool {
	mine := t.age(id)
	var rivals []*holding
	for other := range t.keepers(h.number, id) {
		if ok, _ := t.compatible(id, other.claim); ok {
			continue
		}
		if known && t.yields(id, other.claim) || !known && t.age(other.claim).compare(mine) < 0 {
			t.lose(id, h.number, other.claim)
			return false
		}
		rivals = append(rivals, other)
	}
	for _, other := range rivals {
		t.displace(other, id)
	}
	if note := t.notes[id]; note != nil {
		note.lost = slices.DeleteFunc(note.lost, func(l loss) bool { return l.number == h.number })
	}
	return true
}

// lose notes that an address which the claim says it holds belongs to another.
func (t *Table) lose(id uint32, n number, winner uint32) {
	note := t.note(id)
	note.lost = slices.DeleteFunc(note.lost, func(l loss) bool { return l.number == n })
	l := loss{number: n, winner: t.called(winner)}
	if !t.claims.at(winner).reserves() {
		l.toHolder = t.key(winner)
	}
	note.lost = append(note.lost, l)
}

// displace takes an address from its holder, who lacks something until it claims again. Its status may show the address
// for a while: it is leaving.
func (t *Table) displace(h *holding, winner uint32) {
	t.leave(h, true)
	t.lose(h.claim, h.number, winner)
	note := t.note(h.claim)
	note.lacks, note.reason, note.message = true, ReasonAddressTaken, "another address is being looked for"
	t.displaced[h.claim] = true
}
