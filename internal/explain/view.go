package explain

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// View is the Facts with what follows from them, worked out once for many questions. It belongs to one goroutine at a time.
type View struct {
	Facts
	Snapshot *spec.Snapshot
	Problems []spec.Problem

	table     *alloc.Table
	verdicts  map[types.NamespacedName]alloc.Verdict
	reserved  map[types.NamespacedName]alloc.Verdict
	holders   map[netip.Addr][]types.NamespacedName // in the statuses of our Services
	shown     map[types.NamespacedName][]netip.Addr // likewise
	world     plan.World
	owners    map[netip.Addr]string // who is to announce on the local network
	withheld  map[withheldKey]plan.Withheld
	announced map[plan.Hold]plan.Withheld // by BGP; nil until asked for
	plans     map[string]plan.BGPPlan     // by node, as they are asked for

	announcers func(netip.Addr) []string // nil until asked for
}

// withheldKey is an address as far as one Service goes.
type withheldKey struct {
	service types.NamespacedName
	addr    netip.Addr
}

// Look works out what follows from the facts: the allocator is run on them from empty, and the plan is made.
func Look(f Facts) *View {
	v := &View{Facts: f, plans: map[string]plan.BGPPlan{}}
	v.Snapshot, v.Problems = spec.Parse(f.Objects)
	v.assign()
	v.world = f.world(v.Snapshot)
	v.elect()
	return v
}

// assign runs the allocator, as a controller does that has just started.
func (v *View) assign() {
	v.table = alloc.New()
	v.table.SetTime(v.Now)
	v.table.SetForbidden(v.forbidden())
	v.table.SetPools(v.Snapshot.Pools)
	v.table.SetUnusable(v.Snapshot.Unusable)
	v.recall()
	v.holders, v.shown = map[netip.Addr][]types.NamespacedName{}, map[types.NamespacedName][]netip.Addr{}
	var services []spec.Service
	for _, s := range v.Services {
		if !s.Ours {
			continue
		}
		p := v.parse(s)
		services = append(services, p)
		v.shown[p.Key] = p.Held
		for _, a := range p.Held {
			v.holders[a] = append(v.holders[a], p.Key)
		}
	}
	reservations := make([]spec.Reservation, len(v.Reservations))
	for i := range v.Reservations {
		reservations[i] = spec.ParseReservation(&v.Reservations[i])
		reservations[i].NamespaceLabels = v.Namespaces[v.Reservations[i].Namespace]
	}
	v.verdicts, v.reserved = map[types.NamespacedName]alloc.Verdict{}, map[types.NamespacedName]alloc.Verdict{}
	for i, verdict := range v.table.ClaimAll(services, reservations...) {
		if i < len(services) {
			v.verdicts[verdict.Key] = verdict
		} else {
			v.reserved[verdict.Key] = verdict
		}
	}
}

// recall takes in when addresses were freed, as the pools remember it.
func (v *View) recall() {
	for _, p := range v.Objects.Pools {
		var freed []alloc.Freed
		for _, f := range p.Status.Freed {
			if a, err := netip.ParseAddr(f.Address); err == nil {
				freed = append(freed, alloc.Freed{Addr: a, At: f.At.Time})
			}
		}
		v.table.Recall(p.Name, freed)
	}
}

// forbidden is what of the cluster's own addresses lies in a pool.
func (v *View) forbidden() []alloc.Forbidden {
	var ranges []spec.Range
	for _, p := range v.Snapshot.Pools {
		ranges = append(ranges, p.Ranges...)
	}
	all := make([]alloc.Forbidden, len(v.Used))
	for i, u := range v.Used {
		all[i] = alloc.Forbidden{Range: u.Range, What: u.What}
	}
	return alloc.Forbids(all, ranges)
}

// elect finds who is to announce each address. Every speaker elects the same, so one plan tells of all.
func (v *View) elect() {
	v.owners, v.withheld = map[netip.Addr]string{}, map[withheldKey]plan.Withheld{}
	if len(v.world.Nodes) == 0 {
		return
	}
	first := v.world.Nodes[0].Name
	p := plan.Make(v.world, first)
	for a, s := range p.L2 {
		if s.Role == plan.Answer {
			v.owners[a] = first
		}
	}
	for _, h := range p.Withheld {
		v.withheld[withheldKey{h.Service, h.Addr}] = h
		if h.Owner != "" {
			v.owners[h.Addr] = h.Owner
		}
	}
}

// elected returns who is to announce the address as far as this Service goes, or why nobody is.
func (v *View) elected(key types.NamespacedName, a netip.Addr) (owner string, reason spec.Reason, message string) {
	if len(v.world.Nodes) == 0 {
		return "", plan.ReasonNoNode, "there are no nodes"
	}
	if h, held := v.withheld[withheldKey{key, a}]; held {
		return h.Owner, h.Reason, h.Message
	}
	return v.owners[a], "", ""
}

// Announcers returns the nodes whose speakers say that they answer for the address. Where none does, and that which is to has too
// many addresses to name them all, it is taken to.
func (v *View) Announcers(a netip.Addr) []string {
	if v.announcers == nil {
		v.announcers = v.Facts.Announcers()
	}
	says := v.announcers(a)
	if owner := v.owners[a]; len(says) == 0 && v.unnamed(owner) > 0 {
		if _, hindered := v.hindrance(a, owner); !hindered {
			return []string{owner}
		}
	}
	return says
}

// unnamed counts the ranges of addresses that a node's speaker announces and has no room to name.
func (v *View) unnamed(node string) int32 {
	n, _ := v.node(node)
	if n.Status == nil || !v.Alive(n) {
		return 0
	}
	return n.omitted().L2Addresses
}

// Owner returns the node that is to announce the address on the local network, "" for none.
func (v *View) Owner(a netip.Addr) string { return v.owners[a] }

// Verdict returns what the allocator says about a Service of ours.
func (v *View) Verdict(key types.NamespacedName) (alloc.Verdict, bool) {
	verdict, ok := v.verdicts[key]
	return verdict, ok
}

// Usage counts the addresses of a pool.
func (v *View) Usage(pool string) alloc.Usage { return v.table.Usage(pool) }

func (v *View) service(key types.NamespacedName) (Service, bool) {
	i := slices.IndexFunc(v.Services, func(s Service) bool { return s.key() == key })
	if i < 0 {
		return Service{}, false
	}
	return v.Services[i], true
}

func (v *View) node(name string) (Node, bool) {
	i := slices.IndexFunc(v.Nodes, func(n Node) bool { return n.Object.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return v.Nodes[i], true
}
