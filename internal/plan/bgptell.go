package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// teller works out what a node tells routers.
//
//	Services ──▶ targets (addresses with all their Services) ──▶ drafts for each audience (prefix, advertisements, weight) ──▶ routes
type teller struct {
	w         World // its Services do not count
	services  []*Service
	me        Node
	reason    spec.Reason             // why this node may announce nothing new; "" if it may
	advs      []spec.BGPAdvertisement // all, the oldest first
	onNode    [][]bool                // advertisement, node: whether it selects it
	here      int                     // place of this node
	listeners []*audience
	targets   map[netip.Addr]*target
	mixes     map[string]*mix
	joined    map[[2]*mix]*mix
	pools     map[poolKey]*list
	lists     map[string]*list
	partsOf   map[partsKey][]part
	able      []bool // node: whether it may announce what it has not yet
	terms     *electorate

	claims   []BGPClaim
	discard  map[netip.Prefix]bool
	withheld []Withheld
}

type poolKey struct {
	pool   string
	family spec.Family
}

// target is an address with all the Services that have it.
type target struct {
	addr     netip.Addr
	services []*Service
	list     *list // of the advertisements that select the pool and one of the Services, whatever the node
	outcome  *outcome
}

// outcome is what this node does about an address.
type outcome struct {
	reason  spec.Reason // why it does not announce it; "" if it does
	message string
	backup  bool // another node is the one that routers prefer
}

func newTeller(w World, services []*Service, me int, sessions []*speaking) *teller {
	t := &teller{
		w: w, services: services, me: w.Nodes[me], here: me, reason: w.Nodes[me].canAcquire(),
		advs:    slices.SortedFunc(slices.Values(w.Config.BGP.Advertisements), spec.BGPAdvertisement.Older),
		targets: make(map[netip.Addr]*target, len(services)),
		mixes:   map[string]*mix{}, joined: map[[2]*mix]*mix{},
		pools: map[poolKey]*list{}, lists: map[string]*list{}, partsOf: map[partsKey][]part{},
		discard: map[netip.Prefix]bool{},
	}
	if t.reason == ReasonDraining || t.reason == ReasonExcluded {
		t.reason = "" // what is told goes with GRACEFUL_SHUTDOWN, and then leaves
	}
	t.able = make([]bool, len(w.Nodes))
	for j, n := range w.Nodes {
		t.able[j] = n.canAcquire() == ""
	}
	t.onNode = make([][]bool, len(t.advs))
	for i, a := range t.advs {
		t.onNode[i] = make([]bool, len(w.Nodes))
		for j, n := range w.Nodes {
			t.onNode[i][j] = a.SelectsNode(n.Labels)
		}
	}
	t.audiences(sessions)
	return t
}

func (t *teller) tell() {
	if len(t.advs) == 0 {
		return
	}
	for _, s := range t.services {
		t.seat(s)
	}
	t.terms = newElectorate(t)
	for _, s := range t.services {
		for k, a := range s.Held {
			if l := t.selecting(s, s.PoolOf(k), spec.FamilyOf(a)); len(l.advs) > 0 {
				t.announce(s, t.targets[a], l)
			}
		}
	}
	for _, a := range t.listeners {
		t.finish(a)
	}
	slices.SortFunc(t.claims, func(a, b BGPClaim) int { return a.Addr.Compare(b.Addr) })
}

// seat adds a Service to those of its addresses.
func (t *teller) seat(s *Service) {
	for i, a := range s.Held {
		v := t.targets[a]
		if v == nil {
			v = &target{addr: a}
			t.targets[a] = v
		}
		v.services = append(v.services, s)
		v.list = t.both(v.list, t.selecting(s, s.PoolOf(i), spec.FamilyOf(a)))
	}
}

// selecting returns the advertisements that select the pool and the Service, whatever the node.
func (t *teller) selecting(s *Service, pool string, f spec.Family) *list {
	key := poolKey{pool, f}
	l := t.pools[key]
	if l == nil {
		var advs []int
		for i, a := range t.advs {
			if a.SelectsPool(pool, t.w.Config.PoolLabels[pool]) {
				advs = append(advs, i)
			}
		}
		l = t.list(advs)
		t.pools[key] = l
	}
	not := func(i int) bool { return !t.advs[i].SelectsService(s.Labels) }
	if slices.ContainsFunc(l.advs, not) {
		return t.list(slices.DeleteFunc(slices.Clone(l.advs), not))
	}
	return l
}

// list returns the one list of these advertisements.
func (t *teller) list(advs []int) *list {
	key := keyOf(advs)
	if t.lists[key] == nil {
		t.lists[key] = &list{advs}
	}
	return t.lists[key]
}

// both returns the list of the advertisements of two lists.
func (t *teller) both(a, b *list) *list {
	if a == nil || a == b {
		return b
	}
	advs := slices.Concat(a.advs, b.advs)
	slices.Sort(advs)
	return t.list(slices.Compact(advs))
}

// announce tells all who are to hear it of one Service's address, or notes why nobody does.
func (t *teller) announce(s *Service, v *target, l *list) {
	reason, message := t.why(s, v, l)
	if reason == "" {
		told := false
		for _, a := range t.listeners {
			told = t.draft(a, s, v, l) || told
		}
		if told {
			return
		}
		reason, message = ReasonNoPeer, "no BGPPeer of this node is told of the address"
	}
	t.withheld = append(t.withheld, Withheld{Service: s.Key, Addr: v.addr, Reason: reason, Message: message})
}

// why tells what keeps this node from announcing a Service's address.
func (t *teller) why(s *Service, v *target, l *list) (spec.Reason, string) {
	f := spec.FamilyOf(v.addr)
	switch {
	case s.ProxyName != "":
		return ReasonServiceProxy, fmt.Sprintf("label %s=%s hands the Service to another proxy", spec.ProxyNameLabel, s.ProxyName)
	case !s.Endpoints.Of(f).Any():
		return ReasonNoEndpoints, fmt.Sprintf("the Service has no ready endpoint of %s", f)
	case !s.servedOn(f, t.me.Name):
		return ReasonNoLocalEndpoint, "externalTrafficPolicy is Local, and the node has no pod of the Service"
	case !t.selects(l.advs, t.here):
		return ReasonNotSelected, "no BGPAdvertisement of the address selects the node"
	case t.reason != "" && !t.kept(v.addr, l):
		return t.reason, "the node may announce nothing new"
	}
	o := t.outcome(v)
	return o.reason, o.message
}

// nowhere tells what keeps every node from announcing addresses of a Service.
func (t *teller) nowhere(s *Service, f spec.Family) (spec.Reason, string) {
	switch {
	case s.ProxyName != "":
		return ReasonServiceProxy, fmt.Sprintf("label %s=%s hands the Service to another proxy", spec.ProxyNameLabel, s.ProxyName)
	case !s.Endpoints.Of(f).Any():
		return ReasonNoEndpoints, fmt.Sprintf("the Service has no ready endpoint of %s", f)
	}
	return "", ""
}

// selects tells whether one of the advertisements selects the node.
func (t *teller) selects(advs []int, node int) bool {
	return slices.ContainsFunc(advs, func(i int) bool { return t.onNode[i][node] })
}

// kept tells whether this node announces the address already, itself or within an aggregate.
func (t *teller) kept(a netip.Addr, l *list) bool {
	f := spec.FamilyOf(a)
	return t.w.BGP.Told[prefix(a, hostBits(f))] || slices.ContainsFunc(l.advs, func(i int) bool {
		return t.w.BGP.Told[prefix(a, t.advs[i].Length(f))]
	})
}

// outcome decides about an address, once for all its Services.
func (t *teller) outcome(v *target) outcome {
	if v.outcome == nil {
		o := outcome{}
		o.reason, o.message = t.shared(v)
		if o.reason == "" && t.single(v) {
			o.backup = !t.terms.prefers(v)
		}
		v.outcome = &o
	}
	return *v.outcome
}

func prefix(a netip.Addr, bits int) netip.Prefix {
	p, _ := a.Prefix(min(bits, a.BitLen()))
	return p
}

func (t *teller) discarded() []netip.Prefix {
	all := make([]netip.Prefix, 0, len(t.discard))
	for p := range t.discard {
		all = append(all, p)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}
