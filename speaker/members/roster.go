package members

import (
	"maps"
	"net/netip"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

// roster is who is alive by memberlist's judgement, this node included. A
// roster that was handed out is never changed.
type roster map[string]node

type node struct {
	addr netip.AddrPort
	meta meta
	raw  string // the metadata as it came
	// joins counts how often the member came, this time included.
	joins uint64
}

// registrar turns memberlist's events into rosters. Memberlist calls it with
// its own lock held, so never twice at a time, and expects it back at once; it
// may keep nothing of the Node, which changes later.
type registrar struct {
	roster  atomic.Pointer[roster]
	joins   map[string]uint64 // of members that are there, or were
	changes func(kind string)
	raise   func()
}

var _ memberlist.EventDelegate = (*registrar)(nil)

func newRegistrar(changes func(string), raise func()) *registrar {
	r := &registrar{joins: map[string]uint64{}, changes: changes, raise: raise}
	r.roster.Store(&roster{})
	return r
}

func (r *registrar) load() roster { return *r.roster.Load() }

// NotifyJoin implements memberlist.EventDelegate.
func (r *registrar) NotifyJoin(n *memberlist.Node) {
	r.forget()
	r.joins[n.Name]++
	r.put(n, changeJoin)
}

// NotifyUpdate implements memberlist.EventDelegate.
func (r *registrar) NotifyUpdate(n *memberlist.Node) { r.put(n, changeUpdate) }

// NotifyLeave implements memberlist.EventDelegate.
func (r *registrar) NotifyLeave(n *memberlist.Node) {
	next := maps.Clone(r.load())
	delete(next, n.Name)
	r.publish(next, changeLeave)
}

func (r *registrar) put(n *memberlist.Node, kind string) {
	addr, ok := netip.AddrFromSlice(n.Addr)
	if !ok || len(n.Name) > maxName {
		return
	}
	next := maps.Clone(r.load())
	next[n.Name] = node{
		addr: netip.AddrPortFrom(addr.Unmap(), n.Port),
		meta: decodeMeta(n.Meta),
		raw:  string(n.Meta),

		joins: r.joins[n.Name],
	}
	r.publish(next, kind)
}

// forget keeps the counts of a cluster whose nodes come and go under ever new names from growing.
func (r *registrar) forget() {
	if len(r.joins) < maxRemembered {
		return
	}
	here := r.load()
	maps.DeleteFunc(r.joins, func(name string, _ uint64) bool { _, ok := here[name]; return !ok })
}

func (r *registrar) publish(next roster, kind string) {
	r.roster.Store(&next)
	r.changes(kind)
	r.raise()
}
