package alloc

import (
	"hash/maphash"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Table is who holds which address. Make one with New.
type Table struct {
	given    []spec.Pool // as SetPools got them
	pools    map[string]*pool
	byID     map[uint32]*pool
	lastPool uint32
	order    []*pool    // pools that assign automatically, in the order in which they are tried
	segments []*segment // of all pools, ascending, disjoint

	spaces    spaces
	claims    store[claim, *claim]
	holdings  store[holding, *holding]
	notes     map[uint32]*note // of claims about which there is more to say than their addresses
	displaced map[uint32]bool
}

// note is why a claim has not all that it wants, and what was taken from it.
type note struct {
	lacks   bool // something is missing: the claim is pending
	reason  spec.Reason
	message string
	lost    []loss
}

// loss is an address that went to an elder claim.
type loss struct {
	number
	winner types.NamespacedName
}

// New returns a table without pools and claims.
func New() *Table {
	seed := maphash.MakeSeed()
	return &Table{
		pools:     map[string]*pool{},
		byID:      map[uint32]*pool{},
		spaces:    spaces{ids: map[string]uint32{}},
		claims:    newStore[claim](seed),
		holdings:  newStore[holding](seed),
		notes:     map[uint32]*note{},
		displaced: map[uint32]bool{},
	}
}

// Claim makes the table agree with the Service and returns what it should hold now. It may be called as often as one
// likes; a Service that looks as it did before keeps what it was promised, though its status may not show it yet. A
// Service with a known name and another UID is a new one, and the old one's addresses are free.
//
// If the Service's status shows an address that a younger claim holds, that one loses it: see TakeDisplaced. An address
// that the Service no longer asks for becomes free when Claim is called with a status that shows it no more.
func (t *Table) Claim(s spec.Service) Verdict {
	id, fresh := t.enter(&s)
	t.adopt(id, &s, fresh)
	t.fill(id, &s)
	return t.conclude(id, &s)
}

// ClaimAll is Claim for many at once, in the right order: first all secure what they hold, the elder claim first, then
// those who lack something get it, the Service created first coming first. The verdicts are in the order of services.
// It is the way to start (an address in some status is then never given to another Service meanwhile) and to serve
// everybody in Pending.
func (t *Table) ClaimAll(services []spec.Service) []Verdict {
	ids, fresh := make([]uint32, len(services)), make([]bool, len(services))
	order, ages := make([]int, len(services)), make([]age, len(services))
	for i := range services {
		s := &services[i]
		ids[i], fresh[i] = t.enter(s)
		order[i], ages[i] = i, ageOf(s)
	}
	slices.SortFunc(order, func(a, b int) int { return ages[a].compare(ages[b]) })
	for _, i := range order {
		t.adopt(ids[i], &services[i], fresh[i])
	}
	slices.SortFunc(order, func(a, b int) int { return byCreation(ages[a], ages[b]) })
	for _, i := range order {
		t.fill(ids[i], &services[i])
	}
	verdicts := make([]Verdict, len(services))
	for i, id := range ids {
		verdicts[i] = t.conclude(id, &services[i])
	}
	return verdicts
}

func (t *Table) conclude(id uint32, s *spec.Service) Verdict {
	t.explain(id, s)
	delete(t.displaced, id)
	return t.verdict(id)
}

// Assign is who gets which address when the table is empty: the verdicts for all Services, in their order. It depends on
// nothing but its arguments, and not on the order of either.
func Assign(pools []spec.Pool, services []spec.Service) []Verdict {
	t := New()
	t.SetPools(pools)
	return t.ClaimAll(services)
}

// Release forgets a Service that is gone, or that is no longer ours and whose status shows none of our addresses any
// more. It returns the addresses that the Service held.
func (t *Table) Release(key types.NamespacedName) []Assigned {
	id := t.find(key)
	if id == 0 {
		return nil
	}
	var freed []Assigned
	for _, h := range t.held(id) {
		freed = append(freed, t.assigned(t.holdings.at(h)))
	}
	t.forget(id)
	return freed
}

// TakeDisplaced returns, once, the Services that lost an address to an elder claim since it was last called and have not
// claimed again: they must do so now, and be told. Sorted by namespace and name.
func (t *Table) TakeDisplaced() []types.NamespacedName {
	var keys []types.NamespacedName
	for id := range t.displaced {
		keys = append(keys, t.key(id))
	}
	clear(t.displaced)
	slices.SortFunc(keys, compareKeys)
	return keys
}

// Pending returns the Services that lack something, the one created first coming first, then by namespace and name.
func (t *Table) Pending() []types.NamespacedName {
	var ages []age
	for id, n := range t.notes {
		if n.lacks {
			ages = append(ages, t.age(id))
		}
	}
	slices.SortFunc(ages, byCreation)
	keys := make([]types.NamespacedName, len(ages))
	for i, a := range ages {
		keys[i] = a.key
	}
	return keys
}

// Holder returns the Service that holds the address.
func (t *Table) Holder(a netip.Addr) (types.NamespacedName, bool) {
	for h := range t.keepers(numberOf(a), 0) {
		return t.key(h.claim), true
	}
	return types.NamespacedName{}, false
}

// Verdict returns what the Service should hold, without changing anything.
func (t *Table) Verdict(key types.NamespacedName) (Verdict, bool) {
	id := t.find(key)
	if id == 0 {
		return Verdict{}, false
	}
	return t.verdict(id), true
}
