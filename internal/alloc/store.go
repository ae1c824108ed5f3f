package alloc

import (
	"hash/maphash"
	"iter"
)

// chunkSize is the number of records that are allocated at once: with it chunks are whole pages.
const chunkSize = 1024

// record is what a store keeps: it carries the link of its hash chain within itself, so that finding a record costs four
// bytes for it and no second copy of its key.
type record[T any] interface {
	*T
	link() *uint32
	hash(seed maphash.Seed) uint64
}

// store keeps records by small numbers, from 1, and finds them by hash. Records never move.
type store[T any, P record[T]] struct {
	seed   maphash.Seed
	chunks []*[chunkSize]T
	unused []uint32 // numbers below top that are free again
	top    uint32   // numbers up to here were given out
	count  int
	heads  []uint32 // first record of each chain, 0 for none; a power of two long
}

func newStore[T any, P record[T]](seed maphash.Seed) store[T, P] {
	return store[T, P]{seed: seed, heads: make([]uint32, 64)}
}

// at returns the record with this number.
func (s *store[T, P]) at(id uint32) P { return &s.chunks[(id-1)/chunkSize][(id-1)%chunkSize] }

// head returns the first record of the chain on which all records of this hash are.
func (s *store[T, P]) head(hash uint64) *uint32 { return &s.heads[hash&uint64(len(s.heads)-1)] }

func (s *store[T, P]) add(r T) uint32 {
	if s.count >= 2*len(s.heads) {
		s.grow()
	}
	id := s.number()
	*s.at(id) = r
	s.chain(id)
	s.count++
	return id
}

func (s *store[T, P]) number() uint32 {
	if n := len(s.unused); n > 0 {
		id := s.unused[n-1]
		s.unused = s.unused[:n-1]
		return id
	}
	if s.top%chunkSize == 0 {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.top++
	return s.top
}

func (s *store[T, P]) chain(id uint32) {
	p := s.at(id)
	head := s.head(p.hash(s.seed))
	*p.link() = *head
	*head = id
}

func (s *store[T, P]) remove(id uint32) {
	p := s.at(id)
	at := s.head(p.hash(s.seed))
	for *at != id {
		at = s.at(*at).link()
	}
	*at = *p.link()
	var zero T
	*p = zero
	s.unused = append(s.unused, id)
	s.count--
}

func (s *store[T, P]) grow() {
	old := s.heads
	s.heads = make([]uint32, 2*len(old))
	for _, id := range old {
		for id != 0 {
			next := *s.at(id).link()
			s.chain(id)
			id = next
		}
	}
}

// all yields every record, in no order. Records must not be added or removed meanwhile.
func (s *store[T, P]) all() iter.Seq2[uint32, P] {
	return func(yield func(uint32, P) bool) {
		for _, id := range s.heads {
			for ; id != 0; id = *s.at(id).link() {
				if !yield(id, s.at(id)) {
					return
				}
			}
		}
	}
}
