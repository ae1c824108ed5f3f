package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
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
	// successors are those of the last plan.
	successors map[string][][]string
}

// NewPlanner returns one that must begin with Whole.
func NewPlanner(node string) *Planner { return &Planner{node: node} }

// Change is what has become of some Services since the last plan, each named once.
type Change struct {
	Services []Service // new, or not as they were
	Gone     []types.NamespacedName
}

// Whole plans from everything.
func (p *Planner) Whole(w World) Plan {
	p.services = places(w.Services)
	slices.SortFunc(p.services, func(a, b *Service) int { return compareKeys(a.Key, b.Key) })
	return p.make(w)
}

// Renew plans from everything, and knows the Services but for some: the World's do not count. Whole must have been called.
func (p *Planner) Renew(w World, c Change) Plan {
	p.take(c, func(*Service, *Service) {})
	return p.make(w)
}

func (p *Planner) make(w World) Plan {
	p.board = newBoard(w.Config, w.Nodes, len(p.services))
	for _, s := range p.services {
		p.board.seat(s)
	}
	p.board.fill()
	out, _ := p.board.plan(w.Own, p.node)
	p.successors = p.board.successors()
	out.Successors = p.successors
	return out
}

// Update plans again when nothing has changed but some Services, and which addresses nodes claim. It returns false when that is
// not enough: then nothing has been done, and Renew or Whole must be called.
func (p *Planner) Update(own Own, nodes []Node, c Change) (Plan, bool) {
	if p.board == nil {
		return Plan{}, false
	}
	claimants, differ, ok := p.hear(nodes)
	if !ok {
		return Plan{}, false
	}
	p.take(c, func(was, is *Service) {
		p.board.unseat(was.Key, was.Held)
		p.board.seat(is)
		differ = append(append(differ, was.Held...), is.Held...)
	})
	p.fill(differ)
	for _, a := range differ {
		for _, c := range p.board.ledger.claims[a] {
			claimants = append(claimants, c.Node)
		}
	}
	p.succeed(claimants)
	out, _ := p.board.plan(own, p.node)
	out.Successors = p.successors
	return out, true
}

// take puts the changes into the list, and calls replace for each. One that is new, or has gone, replaces or is replaced by one
// without a name.
func (p *Planner) take(c Change, replace func(was, is *Service)) {
	for i := range c.Services {
		is := &c.Services[i]
		at, known := p.find(is.Key)
		if !known {
			p.services = slices.Insert(p.services, at, nobody())
		}
		replace(p.services[at], is)
		p.services[at] = is
	}
	for _, key := range c.Gone {
		if at, known := p.find(key); known {
			replace(p.services[at], nobody())
			p.services = slices.Delete(p.services, at, at+1)
		}
	}
}

// nobody is a Service without a name or an address.
func nobody() *Service { return &Service{Service: &spec.Service{}} }

func (p *Planner) find(key types.NamespacedName) (at int, known bool) {
	return slices.BinarySearchFunc(p.services, key, func(s *Service, key types.NamespacedName) int { return compareKeys(s.Key, key) })
}

// hear puts the nodes on the board, if they differ in nothing but their claims: what they remember of others and have left to
// them counts for many addresses. It returns whose claims differ, and on which addresses.
func (p *Planner) hear(nodes []Node) (news []int, differ []netip.Addr, ok bool) {
	was := p.board.nodes
	if len(nodes) != len(was) {
		return nil, nil, false
	}
	for i := range nodes {
		if !was[i].sameButClaims(nodes[i]) {
			return nil, nil, false
		}
		if slices.Equal(was[i].Claims, nodes[i].Claims) {
			continue
		}
		if p.board.ledger.hearsay(i) {
			return nil, nil, false
		}
		news = append(news, i)
	}
	p.board.nodes, p.board.ledger.nodes = nodes, nodes
	for _, i := range news {
		differ = append(differ, p.board.ledger.revise(i, was[i].Claims)...)
	}
	return news, differ, true
}

// succeed looks anew for the successors of some nodes.
func (p *Planner) succeed(nodes []int) {
	slices.Sort(nodes)
	p.successors = maps.Clone(p.successors)
	for _, i := range slices.Compact(nodes) {
		n := p.board.nodes[i]
		delete(p.successors, n.Name)
		if of := p.board.successorsOf(n); len(of) > 0 {
			p.successors[n.Name] = of
		}
	}
}

// sameButClaims tells whether all else that layer 2 is planned from is the same.
func (n Node) sameButClaims(o Node) bool {
	n.Claims, o.Claims, n.BGP, o.BGP = nil, nil, BGPFacts{}, BGPFacts{}
	return reflect.DeepEqual(n, o)
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
func (p *Planner) Digest(o spec.Objects, node spec.Node) string {
	return digest(o, p.board.config, p.services, node)
}

// places returns where each of the Services is.
func places(services []Service) []*Service {
	out := make([]*Service, len(services))
	for i := range services {
		out[i] = &services[i]
	}
	return out
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
