package plan

import (
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
)

// ledger is all claims that are known, by address: what each node says of itself, what the others remember of one that is
// away, and what one that let go says of its successor, whose own word may be under way.
type ledger struct {
	nodes  []Node
	places map[string]int
	claims map[netip.Addr][]elect.Claim
	heard  map[netip.Addr]int // nodes that were heard to have addresses
}

func newLedger(nodes []Node) *ledger {
	l := &ledger{nodes: nodes, places: make(map[string]int, len(nodes)), heard: map[netip.Addr]int{}}
	count := 0
	for i, n := range nodes {
		l.places[n.Name] = i
		count += len(n.Claims)
	}
	l.claims = make(map[netip.Addr][]elect.Claim, count)
	for i, n := range nodes {
		for _, c := range n.Claims {
			l.claims[c.Addr] = append(l.claims[c.Addr], elect.Claim{Node: i, Epoch: c.Epoch, From: l.place(c.From), Remembered: !n.Alive, Fresh: c.Fresh})
		}
	}
	for i, n := range nodes {
		if !n.Alive {
			continue
		}
		for name, claims := range n.Absent {
			l.recall(name, claims)
		}
		for _, c := range n.Ceded {
			l.trust(i, c)
		}
		for a, name := range n.Heard {
			if o, known := l.heard[a]; l.place(name) != elect.None && (!known || l.place(name) < o) {
				l.heard[a] = l.place(name)
			}
		}
	}
	return l
}

func (l *ledger) place(node string) int {
	if i, ok := l.places[node]; ok && node != "" {
		return i
	}
	return elect.None
}

// recall takes down what somebody remembers of a node. What the node says of itself counts for more.
func (l *ledger) recall(node string, claims []Claim) {
	i := l.place(node)
	if i == elect.None {
		return
	}
	for _, c := range claims {
		known := l.of(i, c.Addr)
		switch {
		case known == nil:
			l.claims[c.Addr] = append(l.claims[c.Addr], elect.Claim{Node: i, Epoch: c.Epoch, From: elect.None, Remembered: true, Fresh: c.Fresh})
		case known.Remembered && c.Epoch > known.Epoch:
			known.Epoch, known.Fresh = c.Epoch, c.Fresh
		}
	}
}

// trust takes down a claim that another node has given way to.
func (l *ledger) trust(by int, c Cession) {
	i := l.place(c.To)
	if i == elect.None || !l.nodes[i].Alive || l.of(i, c.Addr) != nil {
		return
	}
	l.claims[c.Addr] = append(l.claims[c.Addr], elect.Claim{Node: i, Epoch: c.Epoch, From: by})
}

// of returns a node's claim, nil if there is none. The pointer is good until the next is taken down.
func (l *ledger) of(node int, a netip.Addr) *elect.Claim {
	list := l.claims[a]
	if i := slices.IndexFunc(list, func(c elect.Claim) bool { return c.Node == node }); i >= 0 {
		return &list[i]
	}
	return nil
}

// live returns the claim that a node whose speaker is alive makes itself, nil if there is none.
func (l *ledger) live(node int, a netip.Addr) *elect.Claim {
	if c := l.of(node, a); c != nil && !c.Remembered {
		return c
	}
	return nil
}

// next returns the epoch of a new claim.
func (l *ledger) next(a netip.Addr) uint64 {
	highest := uint64(0)
	for _, c := range l.claims[a] {
		highest = max(highest, c.Epoch)
	}
	return highest + 1
}

// untried tells that nobody has held the address after asking the network for it.
func (l *ledger) untried(a netip.Addr) bool {
	return !slices.ContainsFunc(l.claims[a], func(c elect.Claim) bool { return !c.Fresh })
}

// put takes down what a node says of itself now. Whether anything is remembered of it besides does not matter: its own word
// counts for more.
func (l *ledger) put(node int, c Claim) {
	l.drop(node, c.Addr)
	l.claims[c.Addr] = append(l.claims[c.Addr], elect.Claim{
		Node: node, Epoch: c.Epoch, From: l.place(c.From), Remembered: !l.nodes[node].Alive, Fresh: c.Fresh,
	})
}

// revise takes down a node's claims as they are now, and returns the addresses for which that makes a difference.
func (l *ledger) revise(node int, was []Claim) (differ []netip.Addr) {
	drop := func(c Claim) {
		l.drop(node, c.Addr)
		differ = append(differ, c.Addr)
	}
	for _, c := range l.nodes[node].Claims {
		for len(was) > 0 && was[0].Addr.Less(c.Addr) {
			drop(was[0])
			was = was[1:]
		}
		same := len(was) > 0 && was[0] == c
		if len(was) > 0 && was[0].Addr == c.Addr {
			was = was[1:]
		}
		if !same {
			l.put(node, c)
			differ = append(differ, c.Addr)
		}
	}
	for _, c := range was {
		drop(c)
	}
	return differ
}

// hearsay tells whether others say something of a node's claims that would count if it were silent.
func (l *ledger) hearsay(node int) bool {
	name := l.nodes[node].Name
	return slices.ContainsFunc(l.nodes, func(n Node) bool {
		return len(n.Absent[name]) > 0 || slices.ContainsFunc(n.Ceded, func(c Cession) bool { return c.To == name })
	})
}

func (l *ledger) drop(node int, a netip.Addr) {
	l.claims[a] = slices.DeleteFunc(l.claims[a], func(c elect.Claim) bool { return c.Node == node })
}
