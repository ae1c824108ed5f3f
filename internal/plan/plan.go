package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Plan is what one node should be saying.
type Plan struct {
	// L2 is what to do about the addresses that this node has to do with. A Planner's next plan takes its room.
	L2 map[netip.Addr]Saying
	// Withheld tells why the other addresses are not announced by this node, in the order of the Services. A Planner leaves it
	// empty: its node has no use for it.
	Withheld []Withheld
	// Facts are to be told to the others once L2 is done, and are this node's in the next World.
	Facts
	// Waiting are the addresses of planned moves that wait for the node that has them to let go, sorted.
	Waiting []netip.Addr
	// Successors names, for each node with addresses, who would be the first to take them over: one list for each of some
	// of its addresses. They are the ones to watch it.
	Successors map[string][][]string
}

// Prove takes the addresses off the list of those that the network must be asked about which are announced: it was asked, and
// nobody else has them.
func (p *Plan) Prove(announced func(netip.Addr) bool) {
	for i := range p.Claims {
		if c := &p.Claims[i]; c.Fresh && announced(c.Addr) {
			c.Fresh = false
		}
	}
}

// Withheld is an address that this node does not announce, and why.
type Withheld struct {
	Service types.NamespacedName
	Addr    netip.Addr
	Reason  spec.Reason
	Message string
	Owner   string // the node that announces it instead, with ReasonOtherNode
}

// Make plans for one node. Every speaker that sees the same World elects the same owners.
func Make(w World, node string) Plan {
	b := newBoard(w.Config, w.Nodes, len(w.Services))
	for i := range w.Services {
		b.seat(&w.Services[i])
	}
	b.fill()
	p, results := b.plan(w.Own, node)
	p.Successors = b.successors()
	me := b.ledger.place(node)
	for i := range w.Services {
		s := &w.Services[i]
		for _, a := range s.Held {
			at := b.seats[a]
			if p.L2[a].Role == Answer && b.serves(at, s, me) {
				continue
			}
			p.Withheld = append(p.Withheld, b.withheld(at, s, results))
		}
	}
	return p
}

// plan holds the election and tells what it means for one node.
func (b *board) plan(own Own, node string) (Plan, []elect.Result) {
	results := b.elect()
	d := newDesk(b, own, node)
	for _, s := range b.order {
		if s.slate != nil {
			d.decide(s, results[s.place])
		}
	}
	d.finish()
	return d.plan, results
}

// serves tells whether a node that announces the address does so for this Service, too.
func (b *board) serves(at *seat, s *Service, node int) bool {
	if len(at.shares) == 1 {
		return true
	}
	sh := at.share(s)
	r := sh.field.runner(node)
	return r != nil && sh.why == nil && CanServe(*s, sh.field.family, r.name)
}

func (s *seat) share(of *Service) *share {
	if len(s.shares) == 1 {
		return &s.shares[0]
	}
	return &s.shares[slices.IndexFunc(s.shares, func(sh share) bool { return sh.service.Key == of.Key })]
}

// withheld tells why this node does not announce an address for a Service.
func (b *board) withheld(at *seat, s *Service, results []elect.Result) Withheld {
	sh := at.share(s)
	if sh.why != nil {
		return *sh.why
	}
	r := results[at.place]
	i := r.Holder
	if i == elect.None {
		i = r.Next
	}
	if i == elect.None {
		return Withheld{s.Key, at.addr, ReasonNoNode, "no node can announce it: " + sh.field.refusals(s), ""}
	}
	owner := b.nodes[i].Name
	if !b.serves(at, s, i) {
		return Withheld{s.Key, at.addr, ReasonSharedElsewhere, fmt.Sprintf(
			"%s is announced by node %s for another Service that shares it; no node has pods of all sharers, and that one has none of this Service", at.addr, owner), ""}
	}
	return Withheld{s.Key, at.addr, ReasonOtherNode, "announced by node " + owner, owner}
}

// byAddr orders claims.
func byAddr(a, b Claim) int { return a.Addr.Compare(b.Addr) }
