package elect

import (
	"cmp"
	"net/netip"
)

// Claim is one node's claim on an address.
type Claim struct {
	Node  int
	Epoch uint64 // one more than any known when it was made
	// From is the node that this claim replaces in a planned move, for as long as that node may still have its own; else None.
	From int
	// Remembered: the others tell of it, not the node itself.
	Remembered bool
	// Fresh: the node still asks the network for the address, and does not answer. One that does answer goes first, whoever is
	// preferred: otherwise the two would give way to each other in turns.
	Fresh bool
}

// stands tells whether a claim counts.
func (a Address) stands(c Claim) bool {
	fit := a.Slate.Fit(c.Node)
	if c.Remembered {
		return fit&Returns != 0
	}
	return fit&Keeps != 0
}

// claim returns the place of the claim that decides, None if none stands.
func (a Address) claim() int {
	best := None
	for i, c := range a.Claims {
		if a.stands(c) && !a.replaced(c) && (best == None || a.before(c, a.Claims[best])) {
			best = i
		}
	}
	return best
}

// replaced tells whether another claim that stands was made to replace this one.
func (a Address) replaced(c Claim) bool {
	for _, o := range a.Claims {
		if o.From == c.Node && o.Node != c.Node && o.Epoch > c.Epoch && a.stands(o) {
			return true
		}
	}
	return false
}

func (a Address) before(c, d Claim) bool {
	if c.Remembered != d.Remembered {
		return !c.Remembered
	}
	if c.Fresh != d.Fresh {
		return !c.Fresh
	}
	i, _ := a.Slate.find(c.Node)
	j, _ := a.Slate.find(d.Node)
	order := cmp.Or(
		cmp.Compare(a.Slate.ranks[i], a.Slate.ranks[j]),
		cmp.Compare(c.Epoch, d.Epoch),
		cmp.Compare(a.score(j), a.score(i)),
		cmp.Compare(c.Node, d.Node),
	)
	return order < 0
}

func (a Address) score(place int) uint64 {
	return mix(hashAddr(a.Addr) ^ a.Slate.candidates[place].Hash)
}

// byAddr orders addresses as all speakers do.
func byAddr(addrs []Address) func(i, j int) int {
	return func(i, j int) int { return netip.Addr.Compare(addrs[i].Addr, addrs[j].Addr) }
}

// Possible tells whether anybody has or could have an address with these candidates and claims.
func (s *Slate) Possible(claims []Claim) bool {
	a := Address{Slate: s, Claims: claims}
	return s.acquires < len(s.candidates) || a.claim() != None
}
