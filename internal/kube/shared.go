package kube

import "sync"

// Shared lets cached values that are the same share one copy, which nobody may change. The zero value is ready for use.
type Shared[T any] struct {
	mu    sync.Mutex
	known map[string]T // by words that tell all of it
}

// What is kept of values that nobody has any more is bounded, and so is what somebody can have kept who makes up new ones:
// in number, and in bytes of the words of each. Many objects have few short ones alike.
const (
	MostShared = 1000
	MostWords  = 256
)

// One returns the copy that is shared of the value which the words tell, this one if there is none.
func (s *Shared[T]) One(words string, v T) T {
	if len(words) > MostWords {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if same, known := s.known[words]; known {
		return same
	}
	if s.known == nil {
		s.known = map[string]T{}
	}
	if len(s.known) < MostShared {
		s.known[words] = v
	}
	return v
}

// Len returns how many values are kept.
func (s *Shared[T]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}
