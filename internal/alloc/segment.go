package alloc

// segment is a run of addresses of one pool. Addresses at the cursor and above were never given out by it: each is free
// unless somebody holds it all the same (adopted, or asked for by name), which is looked up when the cursor gets there.
// Below the cursor, freed says what is free.
//
//	from                        cursor                                  to
//	 │ held │ freed │ held │ held │ free … free │ adopted │ free … free │
type segment struct {
	from, to number
	pool     *pool
	place    int    // among the pool's segments of its family
	cursor   uint64 // offset from from
	freed    bitset
}

func (s *segment) contains(n number) bool { return s.from.compare(n) <= 0 && n.compare(s.to) <= 0 }

// free returns the lowest free address, without taking it.
func (s *segment) free(held func(number) bool) (number, bool) {
	if i, ok := s.freed.least(); ok {
		return s.from.plus(i), true
	}
	for last := s.to.minus(s.from); s.cursor <= last; s.cursor++ {
		if n := s.from.plus(s.cursor); !held(n) {
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
	if i := n.minus(s.from); i < s.cursor {
		s.freed.add(i)
	}
}
