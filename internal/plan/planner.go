package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/elect"
)

// Planner makes one plan after another for a node, and looks again only at what has changed.
type Planner struct {
	node     string
	board    *board
	services []*Service // by key
	said     Facts      // of the node, as on the board
}

// NewPlanner returns one that must begin with Whole.
func NewPlanner(node string) *Planner { return &Planner{node: node} }

// Whole plans from everything.
func (p *Planner) Whole(w World) Plan {
	p.board, p.services = newBoard(w.Config, w.Nodes, len(w.Services)), make([]*Service, len(w.Services))
	p.said = Facts{}
	for i := range w.Services {
		p.services[i] = &w.Services[i]
		p.board.seat(p.services[i])
	}
	for _, s := range p.board.seats {
		s.fill(p.board.ledger)
	}
	slices.SortFunc(p.services, byKey)
	if me := p.board.ledger.place(p.node); me != elect.None {
		p.said = w.Nodes[me].Facts
	}
	out := p.board.plan(p.services, w.Own, p.node)
	out.Successors = p.board.successors()
	return out
}

// Update plans again when nothing has changed but some Services that were there before, and what this node itself says. It
// returns false when that is not enough, and Whole must be called.
func (p *Planner) Update(own Own, said Facts, changed []Service) (Plan, bool) {
	if p.board == nil || !p.hear(said) {
		return Plan{}, false
	}
	for i := range changed {
		at, ok := slices.BinarySearchFunc(p.services, &changed[i], byKey)
		if !ok {
			return Plan{}, false
		}
		was := p.services[at]
		p.services[at] = &changed[i]
		p.board.unseat(was.Key, was.Held)
		p.board.seat(&changed[i])
		p.fill(was.Held)
		p.fill(changed[i].Held)
	}
	return p.board.plan(p.services, own, p.node), true
}

// hear puts what the node says on the board: its claims, each where it has changed. What it remembers of others and has left
// to them counts for many addresses, so that is for Whole.
func (p *Planner) hear(said Facts) bool {
	me := p.board.ledger.place(p.node)
	if me == elect.None {
		return true
	}
	if !slices.Equal(said.Ceded, p.said.Ceded) || !maps.EqualFunc(said.Absent, p.said.Absent, slices.Equal[[]Claim]) ||
		!maps.Equal(said.Heard, p.said.Heard) {
		return false
	}
	if slices.Equal(said.Claims, p.said.Claims) {
		return true
	}
	if p.board.ledger.hearsay(me) {
		return false
	}
	was := make(map[netip.Addr]Claim, len(p.said.Claims))
	for _, c := range p.said.Claims {
		was[c.Addr] = c
	}
	var differ []netip.Addr
	for _, c := range said.Claims {
		if o, ok := was[c.Addr]; !ok || o != c {
			differ = append(differ, c.Addr)
			p.board.ledger.put(me, c)
		}
		delete(was, c.Addr)
	}
	for a := range was {
		differ = append(differ, a)
		p.board.ledger.drop(me, a)
	}
	p.said, p.board.nodes[me].Claims = said, said.Claims
	p.fill(differ)
	return true
}

func (p *Planner) fill(addrs []netip.Addr) {
	for _, a := range addrs {
		if s := p.board.seats[a]; s != nil {
			s.fill(p.board.ledger)
		}
	}
}

// Services returns those that are planned for, by namespace and name. They are only to be read.
func (p *Planner) Services() []*Service { return p.services }

func byKey(a, b *Service) int { return compareKeys(a.Key, b.Key) }

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
