package elect

import (
	"cmp"
	"net/netip"
	"slices"
)

// None is no node.
const None = -1

// Fitness is what a node may do about an address; the bits add up.
type Fitness uint8

const (
	// Keeps: its speaker is alive, so a claim of its own stands.
	Keeps Fitness = 1 << iota
	// Returns: its speaker is away and expected back, so a claim that others remember stands.
	Returns
	// Acquires: it may take an address.
	Acquires
	// Steady: it has been fit for so long that it may take an address from another node that is well.
	Steady
)

// Candidate is a node that may have to do with an address.
type Candidate struct {
	Node int    // its place among all nodes, which everybody numbers alike: by name
	Hash uint64 // of its name
	// Weight is the sum of the preferences that it matches: more is better.
	Weight int
	// InSubnet: an interface of the node has a subnet that contains the address. Such nodes come first among equals, because
	// their neighbours ask for the address on that link.
	InSubnet bool
	Fit      Fitness
}

// better orders by preference: negative when a is preferred, 0 when they are equals.
func better(a, b Candidate) int {
	if c := cmp.Compare(b.Weight, a.Weight); c != 0 || a.InSubnet == b.InSubnet {
		return c
	}
	if a.InSubnet {
		return -1
	}
	return 1
}

// Slate is the candidates for an address. Many addresses have the same: make it once for all of them.
type Slate struct {
	candidates []Candidate // by Node
	ranks      []int       // of each candidate's preference, 0 is the best
	acquires   int         // best rank of a candidate that acquires, len(candidates) if there is none
	steady     int         // the same of one that is steady as well
}

// NewSlate takes the candidates, in any order, each node once.
func NewSlate(candidates []Candidate) *Slate {
	s := &Slate{candidates: candidates, ranks: make([]int, len(candidates)), acquires: len(candidates), steady: len(candidates)}
	slices.SortFunc(candidates, func(a, b Candidate) int { return cmp.Compare(a.Node, b.Node) })
	order := make([]int, len(candidates))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return better(candidates[i], candidates[j]) })
	rank := 0
	for k, i := range order {
		if k > 0 && better(candidates[order[k-1]], candidates[i]) != 0 {
			rank++
		}
		s.ranks[i] = rank
		if fit := candidates[i].Fit; fit&Acquires != 0 {
			s.acquires = min(s.acquires, rank)
			if fit&Steady != 0 {
				s.steady = min(s.steady, rank)
			}
		}
	}
	return s
}

// find returns the place of a node on the slate: most often all nodes are on it.
func (s *Slate) find(node int) (place int, ok bool) {
	if node >= 0 && node < len(s.candidates) && s.candidates[node].Node == node {
		return node, true
	}
	return slices.BinarySearchFunc(s.candidates, node, func(c Candidate, node int) int { return cmp.Compare(c.Node, node) })
}

// Fit returns what a node may do, 0 for one that is no candidate.
func (s *Slate) Fit(node int) Fitness {
	if i, ok := s.find(node); ok {
		return s.candidates[i].Fit
	}
	return 0
}

// Only returns the slate with no candidate but one, nil if that may not acquire.
func (s *Slate) Only(node int) *Slate {
	i, ok := s.find(node)
	if !ok || s.candidates[i].Fit&Acquires == 0 {
		return nil
	}
	return NewSlate([]Candidate{s.candidates[i]})
}

// best returns the best rank of candidates with these bits: Acquires, or Acquires and Steady.
func (s *Slate) best(need Fitness) int {
	if need&Steady != 0 {
		return s.steady
	}
	return s.acquires
}

// First returns the n most preferred nodes that may acquire an address, all but one, loads left aside.
func (s *Slate) First(a netip.Addr, n, but int) []int {
	hash := hashAddr(a)
	order := func(i, j int) bool {
		if s.ranks[i] != s.ranks[j] {
			return s.ranks[i] < s.ranks[j]
		}
		return mix(hash^s.candidates[i].Hash) > mix(hash^s.candidates[j].Hash)
	}
	var first []int // few: places, the best first
	for i, c := range s.candidates {
		if c.Fit&Acquires == 0 || c.Node == but {
			continue
		}
		at := len(first)
		for at > 0 && order(i, first[at-1]) {
			at--
		}
		if first = slices.Insert(first, at, i); len(first) > n {
			first = first[:n]
		}
	}
	for k, i := range first {
		first[k] = s.candidates[i].Node
	}
	return first
}
