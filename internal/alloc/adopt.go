package alloc

import (
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// adopt secures the addresses in the Service's status, whoever put them there, and lets go of what it has no more use
// for. A status that was seen before says nothing new about a family of which the table has promised an address since:
// it is an old view, or the write is on its way. An address that the Service cannot keep is leaving.
func (t *Table) adopt(id uint32, s *spec.Service, fresh bool) {
	c := t.claims.at(id)
	stale := [2]bool{!fresh && t.has(id, 0), !fresh && t.has(id, 1)}
	var brought [2]bool
	for i, a := range s.Held {
		n := numberOf(a)
		h := t.holdingOf(id, n)
		if h != nil && !h.leaving() {
			continue
		}
		if h == nil {
			p := t.ownerOf(n, s.PoolOf(i))
			if p == nil {
				continue
			}
			h = t.hold(id, n, p)
		}
		f := n.family()
		keeps := c.shape().wants(f) && !stale[f] && t.wins(id, h)
		h.setLeaving(!keeps)
		brought[f] = brought[f] || keeps
	}
	t.trim(id, s, brought)
}

// trim lets go of addresses of families that the Service wants no more, and of promises in place of which its status
// brought another address.
func (t *Table) trim(id uint32, s *spec.Service, brought [2]bool) {
	c := t.claims.at(id)
	for _, h := range t.held(id) {
		p := t.holdings.at(h)
		shown := slices.Contains(s.Held, p.addr())
		f := p.family()
		switch {
		case c.shape().wants(f) && !p.leaving() && (shown || !brought[f]):
		case shown:
			p.setLeaving(true)
		default:
			t.drop(h)
		}
	}
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

// wins tells whether the claim keeps an address that its status shows. The elder of two claims does; a younger one that
// had it is displaced.
func (t *Table) wins(id uint32, h *holding) bool {
	mine := t.age(id)
	for other := range t.keepers(h.number, id) {
		if t.age(other.claim).compare(mine) < 0 {
			t.lose(id, h.number, other.claim)
			return false
		}
	}
	for other := range t.keepers(h.number, id) {
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
	note.lost = append(note.lost, loss{n, t.key(winner)})
}

// displace takes an address from its holder, who lacks something until it claims again. Its status may show the address
// for a while: it is leaving.
func (t *Table) displace(h *holding, winner uint32) {
	h.setLeaving(true)
	t.lose(h.claim, h.number, winner)
	note := t.note(h.claim)
	note.lacks, note.reason, note.message = true, ReasonAddressTaken, "another address is being looked for"
	t.displaced[h.claim] = true
}
