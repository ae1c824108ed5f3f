package alloc

import (
	"iter"

	"k8s.io/apimachinery/pkg/types"
)

// spaces gives namespaces small numbers while claims are in them.
type spaces struct {
	ids    map[string]uint32
	names  []string
	claims []int
	unused []uint32
}

func (s *spaces) enter(name string) uint32 {
	id, ok := s.ids[name]
	if n := len(s.unused); !ok && n > 0 {
		id, s.unused = s.unused[n-1], s.unused[:n-1]
	} else if !ok {
		id = uint32(len(s.names))
		s.names, s.claims = append(s.names, ""), append(s.claims, 0)
	}
	s.ids[name], s.names[id] = id, name
	s.claims[id]++
	return id
}

func (s *spaces) leave(id uint32) {
	if s.claims[id]--; s.claims[id] == 0 {
		delete(s.ids, s.names[id])
		s.names[id] = ""
		s.unused = append(s.unused, id)
	}
}

// find returns the number of the Service's or the reservation's claim, 0 when it has none.
func (t *Table) find(key types.NamespacedName, reserves bool) uint32 {
	space, ok := t.spaces.ids[key.Namespace]
	if !ok {
		return 0
	}
	id := *t.claims.head(claimHash(t.claims.seed, space, key.Name))
	for id != 0 {
		c := t.claims.at(id)
		if c.space() == space && c.name == key.Name && c.reserves() == reserves {
			return id
		}
		id = c.chain
	}
	return 0
}

// enter finds the claim or makes one, and notes what is asked for. fresh: its status shows something that it did not show
// when it was last looked at, and so tells more than the promises of the table.
func (t *Table) enter(a *ask) (id uint32, fresh bool) {
	uid, seen := uidBits(a.UID), statusHash(a.Service)
	id = t.find(a.Key, a.reserves)
	if id != 0 && t.claims.at(id).uid != uid {
		t.forget(id)
		id = 0
	}
	if fresh = id == 0; fresh {
		id = t.claims.add(claim{name: a.Key.Name, uid: uid, kind: t.spaces.enter(a.Key.Namespace) << 8})
	}
	c := t.claims.at(id)
	fresh = fresh || c.seen != seen
	c.created, c.since, c.seen = seconds(a.Created), heldSince(a.HeldSince), seen
	c.setShape(a.shape())
	t.remember(id, a)
	if t.extras[id] != nil {
		for _, h := range t.held(id) {
			t.recount(t.holdings.at(h).number)
		}
	}
	return id, fresh
}

// forget drops a claim and all that it holds.
func (t *Table) forget(id uint32) {
	for _, h := range t.held(id) {
		t.drop(h)
	}
	delete(t.notes, id)
	delete(t.displaced, id)
	t.unindex(id)
	t.spaces.leave(t.claims.at(id).space())
	t.claims.remove(id)
}

func (t *Table) key(id uint32) types.NamespacedName {
	c := t.claims.at(id)
	return types.NamespacedName{Namespace: t.spaces.names[c.space()], Name: c.name}
}

// called names a claim in messages.
func (t *Table) called(id uint32) string {
	if t.claims.at(id).reserves() {
		return "IPReservation " + t.key(id).String()
	}
	return t.key(id).String()
}

func (t *Table) age(id uint32) age {
	c := t.claims.at(id)
	return age{c.since, c.created, c.uid, t.key(id), c.reserves()}
}

// note returns what is said about a claim, to be added to.
func (t *Table) note(id uint32) *note {
	n := t.notes[id]
	if n == nil {
		n = &note{}
		t.notes[id] = n
	}
	return n
}

// held lists a claim's holdings, in the order in which it got them.
func (t *Table) held(id uint32) []uint32 {
	var ids []uint32
	for h := t.claims.at(id).first; h != 0; h = t.holdings.at(h).next {
		ids = append(ids, h)
	}
	return ids
}

// has tells whether the claim has an address of the family to stay.
func (t *Table) has(id uint32, f int) bool {
	for h := t.claims.at(id).first; h != 0; h = t.holdings.at(h).next {
		if p := t.holdings.at(h); p.family() == f && !p.leaving() {
			return true
		}
	}
	return false
}

// holders yields all holdings of an address.
func (t *Table) holders(n number) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for h := *t.holdings.head(numberHash(t.holdings.seed, n)); h != 0; {
			p := t.holdings.at(h)
			next := p.chain
			if p.number == n && !yield(h) {
				return
			}
			h = next
		}
	}
}

func (t *Table) inUse(n number) bool {
	for range t.holders(n) {
		return true
	}
	return false
}

// keepers yields the holdings of an address that are there to stay, but those of one claim.
func (t *Table) keepers(n number, but uint32) iter.Seq[*holding] {
	return func(yield func(*holding) bool) {
		for id := range t.holders(n) {
			if h := t.holdings.at(id); h.claim != but && !h.leaving() && !yield(h) {
				return
			}
		}
	}
}

// isFirst tells whether the holding is the one that counts for its address.
func (t *Table) isFirst(id uint32, h *holding) bool {
	for first := range t.holders(h.number) {
		return first == id
	}
	return false
}

// hold gives an address to a claim, which is the last that it lists then.
func (t *Table) hold(id uint32, n number, p *pool) *holding {
	free := !t.inUse(n)
	number := t.holdings.add(holding{number: n, claim: id})
	at := &t.claims.at(id).first
	for *at != 0 {
		at = &t.holdings.at(*at).next
	}
	*at = number
	h := t.holdings.at(number)
	h.setPool(p.id)
	if free {
		if s := t.segmentOf(n); s != nil {
			s.take(n)
			s.pool.rest[n.family()].take(n)
		}
		t.count(h, 1)
	}
	t.recount(n)
	return h
}

// leave says whether the claim keeps an address only until its status shows it no more.
func (t *Table) leave(h *holding, b bool) {
	if h.leaving() != b {
		h.setLeaving(b)
		t.recount(h.number)
	}
}

// drop takes a holding from its claim; the address is free when that was the last one.
func (t *Table) drop(h uint32) {
	was := *t.holdings.at(h)
	at := &t.claims.at(was.claim).first
	for *at != h {
		at = &t.holdings.at(*at).next
	}
	*at = was.next
	t.drops++
	s := t.segmentOf(was.number)
	if s != nil && was.counted() {
		s.pool.quota[t.claims.at(was.claim).space()]--
	}
	t.holdings.remove(h)
	if t.inUse(was.number) {
		t.recount(was.number)
		return
	}
	t.count(&was, -1)
	switch {
	case s == nil || !s.offers(was.number):
	case s.pool.rules.ReuseCooldown > 0:
		s.pool.rest[was.family()].add(was.number, t.now.Unix())
	default:
		s.give(was.number)
	}
}
