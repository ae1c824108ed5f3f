package alloc

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Table is who holds which address. Make one with New.
type Table struct {
	now       time.Time
	given     []spec.Pool // as SetPools got them
	unusable  []string    // names of pools that exist but are not among them
	forbidden []Forbidden
	pools     map[string]*pool
	byID      map[uint32]*pool
	lastPool  uint32
	order     []*pool    // pools that assign automatically, in the order in which they are tried
	segments  []*segment // of all pools, ascending, disjoint

	spaces    spaces
	claims    store[claim, *claim]
	holdings  store[holding, *holding]
	notes     map[uint32]*note  // of claims about which there is more to say than their addresses
	extras    map[uint32]*extra // of claims that share, reserve, or were moved on purpose
	sharers   map[string][]uint32
	takers    map[types.NamespacedName][]uint32 // reservations by the Service that takes them
	displaced map[uint32]bool
	drops     int // how often something was let go
}

// note is why a claim has not all that it wants, and what was taken from it.
type note struct {
	lacks   bool // something is missing: the claim is pending
	refused bool // an explicit wish cannot be met: the claim is not allocated, whatever it has
	reason  spec.Reason
	message string
	lost    []loss
}

// loss is an address that went to an elder claim.
type loss struct {
	number
	winner   string               // in words
	toHolder types.NamespacedName // the winning Service; zero for a reservation
	told     bool
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
		extras:    map[uint32]*extra{},
		sharers:   map[string][]uint32{},
		takers:    map[types.NamespacedName][]uint32{},
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
	return t.one(&ask{Service: &s})
}

// Reserve is Claim for a reservation: what it holds, no Service but those that take it may have.
func (t *Table) Reserve(r spec.Reservation) Verdict {
	a := reservationAsk(&r)
	return t.one(&a)
}

func (t *Table) one(a *ask) Verdict {
	id, fresh := t.enter(a)
	t.adopt(id, a, fresh)
	done := t.fill(id, a)
	return t.conclude(id, a, done)
}

// ClaimAll is Claim for many at once, in the right order. First all secure what they hold, the elder claim first. Then
// those who lack something get it: addresses asked for by name first, pools asked for by name next, then everything
// automatic, in each of them the one created first. The verdicts are in the order of services, then of reservations.
// It is the way to start (an address in some status is then never given to another Service meanwhile) and to serve
// everybody in Pending.
func (t *Table) ClaimAll(services []spec.Service, reservations ...spec.Reservation) []Verdict {
	asks := make([]ask, 0, len(services)+len(reservations))
	for i := range services {
		asks = append(asks, ask{Service: &services[i]})
	}
	for i := range reservations {
		asks = append(asks, reservationAsk(&reservations[i]))
	}
	ids, fresh := make([]uint32, len(asks)), make([]bool, len(asks))
	order, ages := make([]int, len(asks)), make([]age, len(asks))
	for i := range asks {
		ids[i], fresh[i] = t.enter(&asks[i])
		order[i], ages[i] = i, ageOf(&asks[i])
	}
	slices.SortFunc(order, func(a, b int) int { return ages[a].compare(ages[b]) })
	for _, i := range order {
		t.adopt(ids[i], &asks[i], fresh[i])
	}
	turns, done := make([]int, len(asks)), make([]bool, len(asks))
	for i := range asks {
		turns[i] = t.turn(&asks[i])
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(turns[a], turns[b]), byCreation(ages[a], ages[b])) })
	for again := true; again; { // what one lets go another may have waited for
		before := t.drops
		for _, i := range order {
			done[i] = done[i] || t.fill(ids[i], &asks[i])
		}
		again = t.drops != before
	}
	verdicts := make([]Verdict, len(asks))
	for i, id := range ids {
		verdicts[i] = t.conclude(id, &asks[i], done[i])
	}
	return verdicts
}

func (t *Table) conclude(id uint32, a *ask, done bool) Verdict {
	if done {
		t.satisfied(id)
	} else {
		t.explain(id, a)
	}
	delete(t.displaced, id)
	t.told(id)
	return t.verdict(id)
}

// Assign is who gets which address when the table is empty: the verdicts for all Services, in their order. It depends on
// nothing but its arguments, and not on the order of either.
func Assign(pools []spec.Pool, services []spec.Service) []Verdict {
	return Input{Pools: pools, Services: services}.Assign()
}

// Input is everything that decides who gets which address.
type Input struct {
	Now          time.Time
	Pools        []spec.Pool
	Forbidden    []Forbidden
	Freed        map[string][]Freed // by pool
	Services     []spec.Service
	Reservations []spec.Reservation
}

// Assign returns the verdicts of ClaimAll on a table that knows nothing else.
func (in Input) Assign() []Verdict {
	t := New()
	t.SetTime(in.Now)
	t.SetForbidden(in.Forbidden)
	t.SetPools(in.Pools)
	for pool, freed := range in.Freed {
		t.Recall(pool, freed)
	}
	return t.ClaimAll(in.Services, in.Reservations...)
}

// Release forgets a Service that is gone, or that is no longer ours and whose status shows none of our addresses any
// more. It returns the addresses that the Service held.
func (t *Table) Release(key types.NamespacedName) []Assigned {
	return t.release(t.find(key, false))
}

// Unreserve forgets a reservation that is gone. A Service that uses it keeps the addresses.
func (t *Table) Unreserve(key types.NamespacedName) []Assigned {
	return t.release(t.find(key, true))
}

func (t *Table) release(id uint32) []Assigned {
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

// TakeDisplaced returns, once, the Services that must claim again and have not done so since it was last called: they lost
// an address to an elder claim, or take the addresses of a reservation that has others now. Sorted by namespace and name.
func (t *Table) TakeDisplaced() []types.NamespacedName { return t.takeDisplaced(false) }

// TakeDisplacedReservations is the same of reservations.
func (t *Table) TakeDisplacedReservations() []types.NamespacedName { return t.takeDisplaced(true) }

func (t *Table) takeDisplaced(reserves bool) []types.NamespacedName {
	var keys []types.NamespacedName
	for id := range t.displaced {
		if t.claims.at(id).reserves() == reserves {
			keys = append(keys, t.key(id))
			delete(t.displaced, id)
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// wakeTakers has the Services claim again that take a reservation's addresses.
func (t *Table) wakeTakers(reservation uint32, a *ask) {
	if id := t.find(t.extra(reservation).taker, false); id != 0 {
		t.displaced[id] = true
	}
	for id, e := range t.extras {
		if e.reservation == a.Key.Name && t.uses(id, reservation) {
			t.displaced[id] = true
		}
	}
}

// Pending returns the Services that lack something, the one created first coming first, then by namespace and name.
func (t *Table) Pending() []types.NamespacedName { return t.pending(false) }

// Lacking returns how many Services Pending would return.
func (t *Table) Lacking() (count int) {
	for id, n := range t.notes {
		if n.lacks && !t.claims.at(id).reserves() {
			count++
		}
	}
	return count
}

// PendingReservations is the same of reservations.
func (t *Table) PendingReservations() []types.NamespacedName { return t.pending(true) }

func (t *Table) pending(reserves bool) []types.NamespacedName {
	var ages []age
	for id, n := range t.notes {
		if n.lacks && t.claims.at(id).reserves() == reserves {
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

// Holder returns a Service that holds the address, the eldest of several.
func (t *Table) Holder(a netip.Addr) (types.NamespacedName, bool) {
	var eldest *holding
	for h := range t.keepers(numberOf(a), 0) {
		if !t.claims.at(h.claim).reserves() && (eldest == nil || t.elder(h, eldest)) {
			eldest = h
		}
	}
	if eldest == nil {
		return types.NamespacedName{}, false
	}
	return t.key(eldest.claim), true
}

// Verdict returns what the Service should hold, without changing anything.
func (t *Table) Verdict(key types.NamespacedName) (Verdict, bool) { return t.look(t.find(key, false)) }

// Reservation returns what the reservation should hold, without changing anything.
func (t *Table) Reservation(key types.NamespacedName) (Verdict, bool) {
	return t.look(t.find(key, true))
}

func (t *Table) look(id uint32) (Verdict, bool) {
	if id == 0 {
		return Verdict{}, false
	}
	return t.verdict(id), true
}
