package members

import "bytes"

// store holds the facts of the other members. It is pure: the engine owns it
// and tells it which stamps the members' metadata show.
type store struct {
	held map[string]held
	part map[string]*partial
}

type held struct {
	stamp stamp
	facts []byte
}

// partial is one member's facts while pieces are missing; only the newest
// version is collected.
type partial struct {
	stamp  stamp
	pieces [][]byte
	left   int
}

func newStore() *store {
	return &store{held: map[string]held{}, part: map[string]*partial{}}
}

// welcome tells whether facts with this stamp are worth having. What the
// metadata show always is, even if it looks older: a clock set back between
// two starts of a member must not silence it. Anything newer than both is
// ahead of its metadata.
func (s *store) welcome(owner string, got, shown stamp) bool {
	have := s.held[owner].stamp
	if got == have {
		return false
	}
	return got == shown || got.newerThan(have.version) && got.newerThan(shown.version)
}

// accept takes a piece from a member whose metadata show the stamp. It reports
// whether the piece was news, so that it is worth passing on.
func (s *store) accept(p piece, shown stamp) bool {
	if !s.welcome(p.owner, p.stamp, shown) {
		return false
	}
	if p.count == 1 {
		// A clone: a whole may be a small part of a large push/pull.
		return s.complete(p.owner, p.stamp, bytes.Clone(p.data))
	}
	part := s.collecting(p, shown)
	if part == nil || part.pieces[p.index] != nil {
		return false
	}
	part.pieces[p.index] = p.data
	if part.left--; part.left == 0 {
		delete(s.part, p.owner)
		return s.complete(p.owner, p.stamp, bytes.Join(part.pieces, nil))
	}
	return true
}

// collecting finds the heap that the piece belongs to. A new version replaces
// an unfinished older one; nil means that the piece belongs to none.
func (s *store) collecting(p piece, shown stamp) *partial {
	part := s.part[p.owner]
	if part != nil && part.stamp == p.stamp {
		if uint64(len(part.pieces)) != p.count {
			return nil
		}
		return part
	}
	if part != nil && p.stamp != shown && !p.stamp.newerThan(part.stamp.version) {
		return nil
	}
	part = &partial{stamp: p.stamp, pieces: make([][]byte, p.count), left: int(p.count)}
	s.part[p.owner] = part
	return part
}

// complete keeps facts that are what their stamp says.
func (s *store) complete(owner string, st stamp, facts []byte) bool {
	if newStamp(st.version, facts) != st {
		return false
	}
	s.held[owner] = held{stamp: st, facts: facts}
	if part := s.part[owner]; part != nil && !part.stamp.newerThan(st.version) {
		delete(s.part, owner)
	}
	return true
}

// current tells whether what is held is what the member's metadata show.
func (s *store) current(owner string, shown stamp) bool {
	return shown.sequence == 0 || s.held[owner].stamp == shown
}

// facts are what is held of a member: the last complete ones, nil if there are
// none or if the member has published none.
func (s *store) facts(owner string, shown stamp) held {
	if shown.sequence == 0 {
		return held{}
	}
	return s.held[owner]
}

// keep forgets everything about members that are gone.
func (s *store) keep(alive roster) {
	for name := range s.held {
		if _, ok := alive[name]; !ok {
			delete(s.held, name)
		}
	}
	for name := range s.part {
		if _, ok := alive[name]; !ok {
			delete(s.part, name)
		}
	}
}
