package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Role is how a node treats an address.
type Role uint8

const (
	// Nothing: it has nothing to do with it.
	Nothing Role = iota
	// Answer with the interfaces' own hardware addresses, unasked when that is new.
	Answer
	// StandIn: answer, when asked, with the hardware addresses of another node.
	StandIn
	// Wait in silence until the other node has let go.
	Wait
)

// Saying is what to do about one address.
type Saying struct {
	Role       Role
	Interfaces []string          // names, sorted; shared with other addresses
	For        string            // StandIn, Wait: the other node
	As         map[string]string // StandIn: the hardware address to name, by interface; interfaces without one stay silent
	Probe      bool              // Answer, but only once nobody was heard to have the address
	Monitor    bool              // listen for others that have it
	// Contested: another node claims it as well, and is about to give it up.
	Contested bool
}

// desk turns what was elected into what one node says and claims.
type desk struct {
	*board
	own  Own
	me   int // elect.None for a node that is none of the cluster's
	plan Plan
}

func newDesk(b *board, own Own, node string) *desk {
	me := b.ledger.place(node)
	d := &desk{board: b, own: own, me: me}
	claimed := 0 // more or less what it will claim
	if me != elect.None {
		claimed = len(b.nodes[me].Claims)
	}
	if b.sayings == nil {
		b.sayings = make(map[netip.Addr]Saying, claimed)
	}
	clear(b.sayings)
	d.plan.L2, d.plan.Claims = b.sayings, make([]Claim, 0, claimed)
	return d
}

// decide about one address. A planned move, step by step:
//
//	O has the address    N is to take it
//	answers              claims it from O, and waits
//	answers as N, cedes
//	answers as N         answers, its claim is from nobody any more
//	nothing
func (d *desk) decide(s *seat, r elect.Result) {
	switch {
	case d.me == elect.None:
	case r.Holder == d.me:
		d.hold(s, &s.claims[r.Claim])
	case r.Holder == elect.None:
		d.vacant(s, r)
	default:
		d.other(s, r, s.claims[r.Claim])
	}
	if r.Holder != d.me && r.Holder != elect.None {
		d.remember(s, r)
	}
	if s.heard && d.me != elect.None {
		d.repeat(s.addr)
	}
}

// hold: the address is this node's.
func (d *desk) hold(s *seat, c *elect.Claim) {
	mine := Claim{Addr: s.addr, Epoch: c.Epoch, Fresh: c.Fresh && s.conflicts() == spec.ConflictProbe}
	if c.From != elect.None {
		if before := d.ledger.live(c.From, s.addr); before != nil {
			mine.From = d.nodes[c.From].Name
			if d.answers(s, before) && !d.own.Overdue[s.addr] {
				d.wait(s, mine)
				return
			}
		}
	}
	d.answer(s, mine)
}

// answers tells whether a node that makes a claim goes on answering until it has seen another's. One that is not to have the
// address any more does so, too, be it that its pods have moved: so no two answer for a moment. One that has not announced it
// yet has nothing to hand over.
func (d *desk) answers(s *seat, c *elect.Claim) bool {
	if s.slate.Fit(c.Node)&elect.Keeps != 0 {
		return true
	}
	r := s.shares[0].field.runner(c.Node)
	return !c.Fresh && r != nil && (r.lingers || r.fit&elect.Keeps != 0)
}

// vacant: no claim stands. One that may not have the address any more keeps answering until its successor has claimed.
func (d *desk) vacant(s *seat, r elect.Result) {
	lingers := d.lingering(s)
	switch {
	case r.Next == d.me:
		c := Claim{Addr: s.addr, Epoch: d.ledger.next(s.addr), Fresh: d.unknown(s)}
		if lingers == elect.None {
			d.answer(s, c)
			return
		}
		c.From = d.nodes[lingers].Name
		d.wait(s, c)
	case r.Next != elect.None && lingers == d.me:
		c := d.ledger.live(d.me, s.addr)
		d.answer(s, Claim{Addr: s.addr, Epoch: c.Epoch})
	}
}

// lingering returns the node that is to hand the address over.
func (d *desk) lingering(s *seat) int {
	var best *elect.Claim
	for i := range s.claims {
		c := &s.claims[i]
		if !c.Remembered && d.answers(s, c) && (best == nil || cmp.Or(cmp.Compare(c.Epoch, best.Epoch), cmp.Compare(c.Node, best.Node)) < 0) {
			best = c
		}
	}
	if best == nil {
		return elect.None
	}
	return best.Node
}

// unknown: nobody has announced the address yet, so that somebody else may have it.
func (d *desk) unknown(s *seat) bool {
	announced := slices.ContainsFunc(s.shares, func(sh share) bool { return sh.service.Announced })
	return s.conflicts() == spec.ConflictProbe && !announced && !s.heard && d.ledger.untried(s.addr)
}

func (s *seat) conflicts() spec.ConflictDetection { return s.shares[0].field.conflicts }

// other: the address is another node's.
func (d *desk) other(s *seat, r elect.Result, c elect.Claim) {
	holder := d.nodes[r.Holder].Name
	switch {
	case r.Next == d.me:
		d.wait(s, Claim{Addr: s.addr, Epoch: d.ledger.next(s.addr), From: holder})
	case r.StandIn == d.me:
		d.standIn(s, holder)
	case c.From == d.me && c.From != elect.None && (d.ledger.live(d.me, s.addr) != nil || d.ceded(s.addr)):
		d.standIn(s, holder)
		d.plan.Ceded = append(d.plan.Ceded, Cession{s.addr, holder, c.Epoch})
	}
}

// ceded tells whether this node has let the address go, be it in favour of another who was first to claim it.
func (d *desk) ceded(a netip.Addr) bool {
	return slices.ContainsFunc(d.nodes[d.me].Ceded, func(c Cession) bool { return c.Addr == a })
}

// remember keeps a claim for a node that is away.
func (d *desk) remember(s *seat, r elect.Result) {
	c := s.claims[r.Claim]
	if !c.Remembered {
		return
	}
	if d.plan.Absent == nil {
		d.plan.Absent = map[string][]Claim{}
	}
	name := d.nodes[r.Holder].Name
	d.plan.Absent[name] = append(d.plan.Absent[name], Claim{Addr: s.addr, Epoch: c.Epoch, Fresh: c.Fresh})
}

// repeat goes on telling what was heard until the node that has the address has claimed it.
func (d *desk) repeat(a netip.Addr) {
	name, ok := d.nodes[d.me].Heard[a]
	if !ok {
		return
	}
	if d.plan.Heard == nil {
		d.plan.Heard = map[netip.Addr]string{}
	}
	d.plan.Heard[a] = name
}

func (d *desk) answer(s *seat, c Claim) {
	say := d.saying(s, Answer)
	say.Probe = c.Fresh
	say.Contested = len(s.claims) > 1 && slices.ContainsFunc(s.claims, func(o elect.Claim) bool {
		return o.Node != d.me && !o.Remembered && d.answers(s, &o)
	})
	d.plan.L2[s.addr] = say
	d.plan.Claims = append(d.plan.Claims, c)
}

func (d *desk) wait(s *seat, c Claim) {
	say := d.saying(s, Wait)
	say.For = c.From
	d.plan.L2[s.addr] = say
	d.plan.Claims = append(d.plan.Claims, c)
	d.plan.Waiting = append(d.plan.Waiting, s.addr)
}

func (d *desk) standIn(s *seat, other string) {
	say := d.saying(s, StandIn)
	say.For = other
	say.As = stations(d.nodes[d.me], d.nodes[d.ledger.place(other)], say.Interfaces)
	d.plan.L2[s.addr] = say
}

func (d *desk) saying(s *seat, r Role) Saying {
	say := Saying{Role: r, Monitor: s.conflicts() != spec.ConflictOff}
	if me := s.shares[0].field.runner(d.me); me != nil {
		say.Interfaces = me.names
	}
	return say
}

// stations finds the other node's interface on the network of each of ours: one of the same subnet, else one of that name.
func stations(mine, other Node, names []string) map[string]string {
	as := map[string]string{}
	for _, i := range mine.Interfaces {
		if !slices.Contains(names, i.Name) {
			continue
		}
		for _, j := range other.Interfaces {
			if _, found := as[i.Name]; j.MAC != "" && (i.meets(j) || !found && i.Name == j.Name) {
				as[i.Name] = j.MAC
			}
		}
	}
	return as
}

// finish puts everything in order.
func (d *desk) finish() {
	p := &d.plan
	slices.SortFunc(p.Claims, byAddr)
	slices.SortFunc(p.Ceded, func(a, b Cession) int { return a.Addr.Compare(b.Addr) })
	slices.SortFunc(p.Waiting, netip.Addr.Compare)
	for _, claims := range p.Absent {
		slices.SortFunc(claims, byAddr)
	}
}
