package plan

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// board is a World made ready for elections.
type board struct {
	config  *spec.Snapshot
	nodes   []Node
	ledger  *ledger
	pools   map[string][]spec.L2Advertisement // those that select each pool, the oldest first
	fields  map[fieldKey]*field
	seats   map[netip.Addr]*seat
	order   []*seat // by address, once they are filled
	filled  bool
	addrs   []elect.Address       // scratch
	sayings map[netip.Addr]Saying // those of the last plan, whose room the next one takes
}

func newBoard(config *spec.Snapshot, nodes []Node, size int) *board {
	return &board{
		config: config, nodes: nodes, ledger: newLedger(nodes),
		pools: map[string][]spec.L2Advertisement{}, fields: map[fieldKey]*field{}, seats: make(map[netip.Addr]*seat, size), order: make([]*seat, 0, size),
	}
}

// seat gives a Service its places. The seats are to be filled afterwards.
func (b *board) seat(s *Service) {
	for i, a := range s.Held {
		at := b.seats[a]
		if at == nil {
			at = &seat{addr: a}
			b.seats[a] = at
			b.line(at)
		}
		at.shares = append(at.shares, share{service: s, field: b.field(s, s.PoolOf(i), spec.FamilyOf(a))})
	}
}

// line puts a new seat in its place.
func (b *board) line(s *seat) {
	at := len(b.order)
	if b.filled {
		at, _ = b.place(s.addr)
	}
	b.order = slices.Insert(b.order, at, s)
}

func (b *board) place(a netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(b.order, a, func(s *seat, a netip.Addr) int { return s.addr.Compare(a) })
}

// fill finds out who may have each address.
func (b *board) fill() {
	slices.SortFunc(b.order, func(s, o *seat) int { return s.addr.Compare(o.addr) })
	b.filled = true
	for _, s := range b.order {
		s.fill(b.ledger)
	}
}

// unseat takes a Service's places away.
func (b *board) unseat(key types.NamespacedName, held []netip.Addr) {
	for _, a := range held {
		at := b.seats[a]
		at.shares = slices.DeleteFunc(at.shares, func(s share) bool { return s.service.Key == key })
		if len(at.shares) == 0 {
			delete(b.seats, a)
			i, _ := b.place(a)
			b.order = slices.Delete(b.order, i, i+1)
		}
	}
}

// field returns what is known of the nodes for a Service and pool.
func (b *board) field(s *Service, pool string, f spec.Family) *field {
	all, ok := b.pools[pool]
	if !ok {
		all = b.config.L2Of(pool)
		b.pools[pool] = all
	}
	advs, key := all, fieldKey{pool: pool, family: f}
	if slices.ContainsFunc(all, func(a spec.L2Advertisement) bool { return len(a.Services) > 0 }) {
		advs, key.advs = selecting(all, s)
	}
	at := b.fields[key]
	if at == nil {
		at = newField(key, advs, b.nodes)
		at.advertised = len(all) > 0
		b.fields[key] = at
	}
	return at
}

// selecting returns the advertisements that select the Service, and a name for this choice.
func selecting(all []spec.L2Advertisement, s *Service) (advs []spec.L2Advertisement, name string) {
	choice := make([]byte, len(all))
	for i, a := range all {
		choice[i] = '-'
		if a.SelectsService(s.Labels) {
			advs, choice[i] = append(advs, a), '+'
		}
	}
	return advs, string(choice)
}

// elect holds the election of all seats that somebody may have.
func (b *board) elect() []elect.Result {
	addrs := slices.Grow(b.addrs[:0], len(b.order))
	for _, s := range b.order {
		if s.slate != nil {
			s.place = len(addrs)
			addrs = append(addrs, elect.Address{Addr: s.addr, Slate: s.slate, Claims: s.claims, Failback: s.shares[0].field.failback})
		}
	}
	b.addrs = addrs
	return elect.Elect(len(b.nodes), addrs)
}
