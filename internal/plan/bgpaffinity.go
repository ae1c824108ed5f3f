package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// single tells whether one node is to be preferred for the address: a Service on it has sessionAffinity: ClientIP, which
// each node keeps for itself, and the oldest advertisement with a route of its own for the address does not leave it to the
// routers. Under an aggregate alone nobody can be preferred.
func (t *teller) single(v *target) bool {
	f := spec.FamilyOf(v.addr)
	if !slices.ContainsFunc(v.services, func(s *Service) bool { return s.ClientIP && s.ProxyName == "" && s.Endpoints.Of(f).Any() }) {
		return false
	}
	for _, i := range v.list.advs {
		if t.advs[i].HostRoute(f) {
			return t.advs[i].Affinity == spec.AffinitySingle
		}
	}
	return false
}

// electorate knows which nodes routers can be told to prefer.
type electorate struct {
	t      *teller
	claims map[netip.Addr][]claimant
	reach  map[reachKey]bool
}

type claimant struct {
	node  int
	epoch uint64
}

type reachKey struct {
	list   *list
	family spec.Family
	node   int
	host   bool // by a route of the address alone
}

func newElectorate(t *teller) *electorate {
	e := &electorate{t: t, claims: map[netip.Addr][]claimant{}, reach: map[reachKey]bool{}}
	for j, n := range t.w.Nodes {
		for _, c := range n.BGP.Claims {
			e.claims[c.Addr] = append(e.claims[c.Addr], claimant{j, c.Epoch})
		}
	}
	return e
}

// prefers tells whether routers are to prefer this node, and claims the address then. The node with the latest claim keeps
// it as long as it can serve and has a session; then the highest score among those that may acquire takes over.
//
//	                                      keeps   takes over
//	ready, has a session, serves             x        x
//	Node not Ready, session still there      x
//	speaker restarting                       x
//	draining, excluded, no session
func (e *electorate) prefers(v *target) bool {
	best, epoch := -1, uint64(0)
	var latest uint64
	for _, c := range e.claims[v.addr] {
		latest = max(latest, c.epoch)
		if !e.t.w.Nodes[c.node].staysPreferred() || !e.fit(v, c.node) {
			continue
		}
		if best < 0 || c.epoch > epoch || c.epoch == epoch && e.better(v.addr, c.node, best) {
			best, epoch = c.node, c.epoch
		}
	}
	if best < 0 {
		epoch = latest + 1
		for j := range e.t.w.Nodes {
			if e.t.able[j] && e.fit(v, j) && (best < 0 || e.better(v.addr, j, best)) {
				best = j
			}
		}
	}
	if best != e.t.here {
		return false
	}
	e.t.claims = append(e.t.claims, BGPClaim{v.addr, epoch})
	return true
}

// staysPreferred tells whether a node may keep what it is preferred for. A speaker that restarts has its routes kept by the
// routers, or comes back before they matter.
func (n Node) staysPreferred() bool {
	return (n.Alive || n.Away) && !n.Silent && !n.Excluded && !n.Draining
}

// fit tells whether a node serves the address and has told of it a router that it has a session with.
func (e *electorate) fit(v *target, node int) bool {
	if !e.t.serves(v, e.t.w.Nodes[node].Name) {
		return false
	}
	return e.reached(reachKey{v.list, spec.FamilyOf(v.addr), node, true})
}

func (e *electorate) reached(key reachKey) bool {
	reaches, known := e.reach[key]
	if !known {
		reaches = e.reaches(key)
		e.reach[key] = reaches
	}
	return reaches
}

func (e *electorate) reaches(key reachKey) bool {
	n := e.t.w.Nodes[key.node]
	return slices.ContainsFunc(key.list.advs, func(i int) bool {
		a := e.t.advs[i]
		return (!key.host || a.HostRoute(key.family)) && e.t.onNode[i][key.node] && slices.ContainsFunc(e.t.w.Config.BGP.Peers, func(p spec.Peer) bool {
			_, has := slices.BinarySearch(n.BGP.Established, p.Name)
			return has && a.SelectsPeer(p)
		})
	})
}

func (e *electorate) better(a netip.Addr, node, than int) bool {
	x, y := e.t.w.Nodes[node].Name, e.t.w.Nodes[than].Name
	p, q := elect.Score(a, x), elect.Score(a, y)
	return p > q || p == q && x < y
}

// AffinityProblems tells of the advertisements under whose aggregates Services with sessionAffinity: ClientIP have no route of
// their own, which alone can prefer a node. Each names one such Service. Nodes do not count.
func AffinityProblems(config *spec.Snapshot, services []Service) (out []spec.Problem) {
	t := newTeller(World{Config: config, Nodes: make([]Node, 1)}, nil, 0, nil)
	told := map[int]bool{}
	for i := range services {
		s := &services[i]
		for k, a := range s.Held {
			f := spec.FamilyOf(a)
			l := t.selecting(s, s.PoolOf(k), f)
			own := slices.ContainsFunc(l.advs, func(i int) bool { return t.advs[i].HostRoute(f) })
			if !s.ClientIP || own || len(l.advs) == 0 || told[l.advs[0]] {
				continue
			}
			told[l.advs[0]] = true
			adv := t.advs[l.advs[0]]
			out = append(out, spec.Problem{Kind: "BGPAdvertisement", Name: adv.Name, Reason: ReasonNoAffinity, Message: fmt.Sprintf(
				"sessionAffinity: ClientIP of Service %s does not hold: of %s only the aggregate %s is announced; set spec.aggregateOnly: false",
				s.Key, a, prefix(a, adv.Length(f)))})
		}
	}
	return out
}
