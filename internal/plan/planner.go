package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
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
	p.board, p.services = newBoard(w.Config, w.Nodes, len(w.Services)), places(w.Services)
	p.said = Facts{}
	for _, s := range p.services {
		p.board.seat(s)
	}
	p.board.fill()
	slices.SortFunc(p.services, byKey)
	if me := p.board.ledger.place(p.node); me != elect.None {
		p.said = w.Nodes[me].Facts
	}
	out, _ := p.board.plan(w.Own, p.node)
	out.Successors = p.board.successors()
	return out
}

// Update plans again when nothing has changed but some Services, of which some may be new and some have gone, and what this node
// itself says. It returns false when that is not enough, and Whole must be called.
func (p *Planner) Update(own Own, said Facts, changed []Service, gone []types.NamespacedName) (Plan, bool) {
	if p.board == nil || !p.hear(said) {
		return Plan{}, false
	}
	for i := range changed {
		at, known := p.find(changed[i].Key)
		if !known {
			p.services = slices.Insert(p.services, at, &Service{})
		}
		p.replace(at, &changed[i])
	}
	for _, key := range gone {
		if at, known := p.find(key); known {
			p.replace(at, &Service{})
			p.services = slices.Delete(p.services, at, at+1)
		}
	}
	out, _ := p.board.plan(own, p.node)
	return out, true
}

func (p *Planner) find(key types.NamespacedName) (at int, known bool) {
	return slices.BinarySearchFunc(p.services, key, func(s *Service, key types.NamespacedName) int { return compareKeys(s.Key, key) })
}

func (p *Planner) replace(at int, s *Service) {
	was := p.services[at]
	p.services[at] = s
	p.board.unseat(was.Key, was.Held)
	p.board.seat(s)
	p.fill(was.Held)
	p.fill(s.Held)
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

// BGP plans what the node tells routers, as MakeBGP does, with what it says of itself now. Whole must have been called.
func (p *Planner) BGP(own OwnBGP, said BGPFacts) BGPPlan {
	if me := p.board.ledger.place(p.node); me != elect.None {
		p.board.nodes[me].BGP = said
	}
	return makeBGP(World{Config: p.board.config, Nodes: p.board.nodes, BGP: own}, p.services, p.node)
}

// Digest is that of the plans that are made now: see there. Whole must have been called.
func (p *Planner) Digest(o spec.Objects, node spec.Node) string { return digest(o, p.board.config, p.services, node) }

// places returns where each of the Services is.
func places(services []Service) []*Service {
	out := make([]*Service, len(services))
	for i := range services {
		out[i] = &services[i]
	}
	return out
}

func byKey(a, b *Service) int { return compareKeys(a.Key, b.Key) }

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
