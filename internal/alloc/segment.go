package alloc

// segment is a run of addresses of one pool, all to be handed out or none of them (excluded, or forbidden everywhere).
// Addresses at the cursor and above were never given out by it: each is free unless somebody holds it all the same
// (adopted, or asked for by name) or it rests, which is looked up when the cursor gets there. Below the cursor, freed
// says what is free.
//
//	from                        cursor                                  to
//	 │ held │ freed │ held │ held │ free … free │ adopted │ free … free │
type segment struct {
	run
	pool   *pool
	place  int // among the pool's segments of its family that are to be handed out
	cursor uint64
	freed  bitset
}

// run is what makes one segment another: with another run its state means nothing.
type run struct {
	from, to number
	usable   bool
	avoid    bool // IPv4 addresses that end in .0 or .255 are not handed out
}

func (r run) contains(n number) bool { return r.from.compare(n) <= 0 && n.compare(r.to) <= 0 }

// offers tells whether the address is one to be handed out.
func (r run) offers(n number) bool { return r.usable && !(r.avoid && buggy(n)) }

// buggy: some devices take such addresses for a network's own or its broadcast, whatever the prefix length.
func buggy(n number) bool { return n.family() == 0 && (n.lo&0xff == 0 || n.lo&0xff == 0xff) }

// count returns the number of addresses to be handed out, clamped to MaxUint64.
func (r run) count() uint64 {
	n := r.to.minus(r.from)
	switch {
	case !r.usable:
		return 0
	case r.avoid && r.from.family() == 0:
		// Below x there are (x+255)/256 numbers that end in .0, and x/256 that end in .255.
		below := func(x uint64) uint64 { return (x+255)/256 + x/256 }
		return n + 1 - (below(r.to.lo+1) - below(r.from.lo))
	case n+1 == 0:
		return n
	}
	return n + 1
}

// free returns the lowest free address, without taking it.
func (s *segment) free(blocked func(number) bool) (number, bool) {
	if i, ok := s.freed.least(); ok {
		return s.from.plus(i), true
	}
	for last := s.to.minus(s.from); s.cursor <= last; s.cursor++ {
		if n := s.from.plus(s.cursor); s.offers(n) && !blocked(n) {
			return n, true
		}
	}
	return number{}, false
}

// take notes that the address, which was free, is so no more.
func (s *segment) take(n number) {
	switch i := n.minus(s.from); {
	case i < s.cursor:
		s.freed.remove(i)
	case i == s.cursor:
		s.cursor++
	}
}

// give notes that the address is free again.
func (s *segment) give(n number) {
	if i := n.minus(s.from); i < s.cursor && s.offers(n) {
		s.freed.add(i)
		s.pool.first[n.family()] = min(s.pool.first[n.family()], s.place)
	}
}
