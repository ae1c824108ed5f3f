package speaker

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

const (
	// handoverWait is how long the next owner of an address waits for the present one to let go.
	handoverWait = 100 * time.Millisecond
	// disbelief is how long others must have found this node silent until it gives its addresses up: what they say when a
	// partition has just healed is of before. As long a node whose cable was put back takes nothing.
	disbelief = time.Second
	// rejoin is how long a node whose cable was out looks for the others before it believes that it is alone: longer than
	// the longest gap between two attempts to join them, and the time that one takes.
	rejoin = 10 * time.Second
)

// mind is what a speaker carries from one pass to the next. It is told the time and talks to nobody, so that clusters of
// them can be simulated.
type mind struct {
	node     string
	holdDown time.Duration
	log      logr.Logger
	book     book
	presence *presence

	facts    plan.Facts               // those of the last plan
	packed   facts                    // facts, as they are told
	packedOf plan.Facts               // what is packed
	waits    map[netip.Addr]time.Time // since when planned moves wait
	contests map[netip.Addr]contest
	readyAt  time.Time       // zero while starting
	leaving  bool            // everything is to be handed over
	silentAt time.Time       // since when others have found this node silent; zero while they do not
	dark     bool            // no interface can be announced on
	lightAt  time.Time       // when that ended; zero when it did not, or the others have been found since
	backAt   time.Time       // when it ended last
	company  map[string]bool // who else was alive when it began
}

// contest counts how often an address was claimed by another node, too, and how often that was over: each time the
// neighbours' caches are put right.
type contest struct {
	now   bool
	turns uint64
}

func newMind(node string, window, holdDown time.Duration, log logr.Logger) *mind {
	return &mind{
		node: node, holdDown: holdDown, log: log, book: book{}, presence: newPresence(window),
		waits: map[netip.Addr]time.Time{}, contests: map[netip.Addr]contest{},
	}
}

// tells what the others must hear of this node.
func (m *mind) tells(now time.Time, interfaces []plan.Interface, dataplane plan.Dataplane, verdicts map[string]liveness.Verdict, keys []string) facts {
	m.look(now, interfaces)
	if !equalFacts(m.packedOf, m.facts) {
		m.packed, m.packedOf = facts{}, m.facts
		m.packed.told(m.facts)
	}
	f := m.packed
	f.Interfaces, f.Dataplane, f.Steady, f.Starting, f.Keys = interfaces, dataplane, m.steady(now), m.readyAt.IsZero(), keys
	for node, v := range verdicts {
		if v.State == liveness.Unknown {
			continue
		}
		if f.Verdicts == nil {
			f.Verdicts = map[string]string{}
		}
		f.Verdicts[node] = v.State.String()
	}
	return f
}

// look takes down whether the cables of this node are in.
func (m *mind) look(now time.Time, interfaces []plan.Interface) {
	dark := !slices.ContainsFunc(interfaces, func(i plan.Interface) bool { return i.Up })
	if m.dark && !dark {
		m.lightAt, m.backAt = now, now
	}
	m.dark = dark
}

// doubt keeps this node from taking anything while it has no reason to believe what it sees: its cable was put back a moment
// ago, and not all that were alive when it went out have been found yet. What it would take is what they have had since.
func (m *mind) doubt(now time.Time, nodes []plan.Node) {
	if m.dark {
		return
	}
	alive := map[string]bool{}
	for _, n := range nodes {
		if n.Alive && n.Name != m.node {
			alive[n.Name] = true
		}
	}
	if !m.doubtful(now, alive) {
		m.company, m.lightAt = alive, time.Time{}
		return
	}
	for i := range nodes {
		if nodes[i].Name == m.node {
			nodes[i].Ready = false
		}
	}
}

func (m *mind) doubtful(now time.Time, alive map[string]bool) bool {
	if m.lightAt.IsZero() || len(m.company) == 0 || !now.Before(m.lightAt.Add(rejoin)) {
		return false
	}
	for name := range m.company {
		if !alive[name] {
			return true
		}
	}
	return now.Before(m.lightAt.Add(disbelief))
}

// steadyFrom is when the hold-down ends: it counts from the last return, of the speaker or of its cable.
func (m *mind) steadyFrom() time.Time {
	from := m.readyAt
	if m.backAt.After(from) {
		from = m.backAt
	}
	return from.Add(m.holdDown)
}

func (m *mind) steady(now time.Time) bool {
	return !m.readyAt.IsZero() && !now.Before(m.steadyFrom())
}

// nodes joins the cluster's Nodes with what their speakers, and others about them, tell.
func (m *mind) nodes(now time.Time, cluster []spec.Node, roster []members.Member) []plan.Node {
	heard := m.hear(roster)
	verdicts := tally(heard)
	m.presence.look(now, timely(roster, heard), verdicts, slices.AppendSeq(mentioned(heard), maps.Keys(m.facts.Absent)))
	switch {
	case verdicts[m.node] != liveness.Silent:
		m.silentAt = time.Time{}
	case m.silentAt.IsZero():
		m.silentAt = now
	}
	present := make(map[string]bool, len(cluster))
	nodes := make([]plan.Node, len(cluster))
	for i, c := range cluster {
		present[c.Name] = true
		nodes[i] = m.join(c, now, verdicts[c.Name])
	}
	m.doubt(now, nodes)
	m.book.keep(present)
	m.presence.keep(present)
	return nodes
}

// timely is the roster with the states that the members' facts are of: when a speaker was killed and is back before the group
// has missed it, the first thing to be heard of the new process may be its facts.
func timely(roster []members.Member, heard map[string]heardFacts) []members.Member {
	out := slices.Clone(roster)
	for i := range out {
		if out[i].State == members.Ready && heard[out[i].Name].Starting {
			out[i].State = members.Starting
		}
	}
	return out
}

// hear reads what the members tell.
func (m *mind) hear(roster []members.Member) map[string]heardFacts {
	heard := make(map[string]heardFacts, len(roster))
	for _, member := range roster {
		f, err := m.book.read(member.Name, member.Facts)
		if err != nil {
			m.log.Error(err, "Speaker not understood, its node is no candidate; do both run the same version?", "node", member.Name)
		}
		if member.Facts != nil {
			heard[member.Name] = f
		}
	}
	return heard
}

func (m *mind) join(c spec.Node, now time.Time, v liveness.State) plan.Node {
	f, s := m.book[c.Name], m.presence.standing(c.Name, now, v)
	n := plan.Node{
		Node: c, Alive: s.alive, Ready: s.ready, Away: s.away, Silent: v == liveness.Silent,
		Steady: f.facts.Steady, Dataplane: f.facts.Dataplane, Interfaces: f.facts.Interfaces, Facts: f.facts.plan, BGP: f.facts.BGP.plan(),
	}
	n.Draining = n.Draining || s.draining
	if s.away && len(n.Interfaces) == 0 {
		n.Interfaces = f.interfaces // it has not looked yet
	}
	if c.Name == m.node {
		n.Alive, n.Ready, n.Away = true, !m.readyAt.IsZero(), m.readyAt.IsZero()
		// What this node has told the others itself is no reason: it would never end.
		n.Draining, n.Facts = c.Draining || m.leaving, m.facts
		n.Silent = !m.silentAt.IsZero() && !now.Before(m.silentAt.Add(disbelief))
	}
	return n
}

// tally makes the speakers' verdicts one for each node: what most of them say. Where as many are of another opinion, a refusal
// proves life, for a kernel holds many of them back; an answer does not, for it may be of the moment before.
func tally(heard map[string]heardFacts) map[string]liveness.State {
	votes := map[string]map[string]int{}
	for _, f := range heard {
		for node, v := range f.Verdicts {
			if votes[node] == nil {
				votes[node] = map[string]int{}
			}
			votes[node][v]++
		}
	}
	out := make(map[string]liveness.State, len(votes))
	for node, v := range votes {
		silent, refused, answering := v[liveness.Silent.String()], v[liveness.Refused.String()], v[liveness.Answering.String()]
		switch {
		case silent > refused && silent >= refused+answering:
			out[node] = liveness.Silent
		case refused > 0 && refused+silent >= answering:
			out[node] = liveness.Refused
		case answering > 0:
			out[node] = liveness.Answering
		}
	}
	return out
}

// mentioned lists the nodes of which others remember claims.
func mentioned(heard map[string]heardFacts) (names []string) {
	for _, f := range heard {
		for name := range f.Absent {
			names = append(names, name)
		}
	}
	return names
}

// overdue returns the addresses that have waited for long enough.
func (m *mind) overdue(now time.Time) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for a, since := range m.waits {
		if !now.Before(since.Add(handoverWait)) {
			out[a] = true
		}
	}
	return out
}

// learn takes over what a plan wants remembered. It tells whether there is something new to tell the others.
func (m *mind) learn(now time.Time, p plan.Plan) (news bool) {
	news = !equalFacts(m.facts, p.Facts)
	m.facts = p.Facts
	waiting := make(map[netip.Addr]time.Time, len(p.Waiting))
	for _, a := range p.Waiting {
		since, ok := m.waits[a]
		if !ok {
			since = now
		}
		waiting[a] = since
	}
	// One that answers, overdue, before the other has let go has not waited for nothing.
	for _, c := range p.Claims {
		if since, ok := m.waits[c.Addr]; ok && c.From != "" {
			waiting[c.Addr] = since
		}
	}
	m.waits = waiting
	return news
}

// generation of an address: whenever it differs, the neighbours are told again.
func (m *mind) generation(a netip.Addr, s plan.Saying) uint64 {
	c, known := m.contests[a]
	if c.now != s.Contested {
		c.now, c.turns = s.Contested, c.turns+1
	}
	if known || c.turns > 0 {
		m.contests[a] = c
	}
	return c.turns + m.presence.heals<<32
}

// forget drops what was remembered of addresses that are not announced any more.
func (m *mind) forget(p plan.Plan) {
	maps.DeleteFunc(m.contests, func(a netip.Addr, _ contest) bool { return p.L2[a].Role != plan.Answer })
}

// next returns when time alone will change the plan, zero for never.
func (m *mind) next(now time.Time) time.Time {
	next := m.presence.next(now)
	sooner := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if !m.readyAt.IsZero() {
		sooner(m.steadyFrom())
	}
	if !m.lightAt.IsZero() {
		sooner(m.lightAt.Add(disbelief))
		sooner(m.lightAt.Add(rejoin))
	}
	if !m.silentAt.IsZero() {
		sooner(m.silentAt.Add(disbelief))
	}
	for _, since := range m.waits {
		sooner(since.Add(handoverWait))
	}
	return next
}
