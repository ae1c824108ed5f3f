package members

import (
	"net/netip"
	"slices"
	"strings"
)

// view is what the callers see, made anew when it differs from the last.
type view struct {
	entries []entry
	members []Member
}

type entry struct {
	Member
	stamp stamp // of Facts
}

func (a entry) equal(b entry) bool {
	return a.Name == b.Name && a.Addr == b.Addr && a.State == b.State && a.Version == b.Version &&
		a.Current == b.Current && a.Joins == b.Joins && a.stamp == b.stamp
}

// show publishes a new view if the roster, a state or facts differ from the
// last one.
func (e *engine) show(alive roster) {
	entries := make([]entry, 0, len(alive))
	for name, n := range alive {
		entries = append(entries, e.entry(name, n))
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	last := e.g.seen.Load().entries
	if slices.EqualFunc(last, entries, entry.equal) {
		return
	}
	next := &view{entries: entries, members: make([]Member, len(entries))}
	for i := range entries {
		next.members[i] = entries[i].Member
	}
	e.g.seen.Store(next)
	e.g.metrics.alive.Set(float64(len(entries)))
	e.report(last, entries)
	e.g.changed.raise()
}

func (e *engine) entry(name string, n node) entry {
	m := Member{Name: name, Addr: n.addr.Addr(), State: n.meta.state, Version: n.meta.software, Joins: n.joins}
	if name == e.g.opts.Name {
		// What the callers said counts at once, not when it has gone out.
		mine := e.g.mine.Load()
		m.State, m.Facts, m.Current = mine.state, mine.facts, true
		return entry{m, mine.stamp}
	}
	have := e.store.facts(name, n.meta.facts)
	m.Facts, m.Current = have.facts, e.store.current(name, n.meta.facts)
	return entry{m, have.stamp}
}

// report logs who came, went or changed state.
func (e *engine) report(last, next []entry) {
	was := map[string]State{}
	for _, m := range last {
		was[m.Name] = m.State
	}
	for _, m := range next {
		state, ok := was[m.Name]
		delete(was, m.Name)
		if !ok || state != m.State {
			e.log.Info("member changed state", "node", m.Name, "address", m.Addr, "state", m.State.String())
		}
	}
	for name := range was {
		e.log.Info("member is gone", "node", name)
	}
}

// complete tells whether all peers are members and all facts are here.
func (e *engine) complete(peers map[string]netip.AddrPort, alive roster) bool {
	for name := range peers {
		if _, ok := alive[name]; !ok {
			return false
		}
	}
	for name, n := range alive {
		if name != e.g.opts.Name && !e.store.current(name, n.meta.facts) {
			return false
		}
	}
	return true
}
