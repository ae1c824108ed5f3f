package alloc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// town is a cluster in which everybody uses every rule there is: wishes, sharing, reservations, quotas, cooldowns. What
// comes out is not compared with a twin but with what must be true whatever the order of events was.
type town struct {
	t         *testing.T
	choices   func(int) int
	clock     int
	table     *Table
	pools     []spec.Pool
	forbidden []Forbidden
	asks      map[who]ask // as last written by the user, status included
	known     map[who]ask // as last claimed
	story     []string
}

func newTown(t *testing.T, choices func(int) int) *town {
	w := &town{t: t, choices: choices, table: New(), asks: map[who]ask{}, known: map[who]ask{}}
	w.tick()
	w.editPools()
	return w
}

func (w *town) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *town) failf(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.story[max(0, len(w.story)-40):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

func (w *town) now() time.Time { return epoch.Add(time.Duration(w.clock) * 10 * time.Second) }

func (w *town) tick() {
	w.clock++
	w.table.SetTime(w.now())
}

func (w *town) step() {
	w.tick()
	switch w.choices(12) {
	case 0, 1, 2:
		w.create()
	case 3, 4, 5:
		w.wish()
	case 6:
		w.remove()
	case 7:
		w.editPools()
	case 8:
		w.restart()
	default:
		w.claim(w.someone())
	}
	w.serve()
	w.check()
}

func (w *town) someone() who {
	return who{types.NamespacedName{Namespace: []string{"a", "b"}[w.choices(2)], Name: string(rune('a' + w.choices(5)))}, w.choices(4) == 0}
}

func (w *town) create() {
	k := w.someone()
	if _, ok := w.asks[k]; ok {
		return
	}
	s := &spec.Service{Key: k.NamespacedName, UID: types.UID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", w.choices(1<<30))), Created: w.now()}
	s.Families = [][]spec.Family{{v4}, {v6}, {v4, v6}, {v6, v4}}[w.choices(4)]
	if len(s.Families) == 2 {
		s.Policy = spec.PreferDualStack + spec.DualStack(w.choices(2))
	}
	if k.reserves && len(s.Families) == 2 {
		s.Policy = spec.RequireDualStack
	}
	w.asks[k] = ask{Service: s, reserves: k.reserves}
	w.tell("create %v %v %v", k, s.Policy, s.Families)
	w.wishOf(k)
	w.claim(k)
}

func (w *town) wish() {
	if k := w.someone(); w.asks[k].Service != nil {
		w.wishOf(k)
		w.claim(k)
	}
}

// wishOf changes what somebody asks for.
func (w *town) wishOf(k who) {
	a := w.asks[k]
	s := cloneService(*a.Service)
	s.WantPool, s.WantIPs, s.SharingKey, s.Reservation, s.Ports, s.Local = "", nil, "", "", nil, false
	a.taker = ""
	switch w.choices(6) {
	case 0:
		for range 1 + w.choices(2) {
			if f := s.Families[w.choices(len(s.Families))]; !k.reserves || len(s.Families) == 1 {
				s.WantIPs = append(s.WantIPs, w.address(f))
			}
		}
	case 1:
		s.WantPool = []string{"p", "q", "r"}[w.choices(3)]
	case 2:
		if !k.reserves {
			s.Reservation = string(rune('a' + w.choices(5)))
		}
	case 3:
		if !k.reserves && len(s.Held) > 0 {
			s.Reallocate = fmt.Sprint(w.clock)
		}
	}
	if k.reserves && w.choices(2) == 0 {
		a.taker = string(rune('a' + w.choices(5)))
	}
	if !k.reserves && w.choices(2) == 0 {
		s.SharingKey = []string{"k", "l"}[w.choices(2)]
		s.Local = w.choices(4) == 0
	}
	s.Ports = []spec.Port{{Protocol: corev1.ProtocolTCP, Port: int32(w.choices(6))}}
	a.Service = &s
	w.asks[k] = a
	w.tell("wish %v ips=%v pool=%s key=%s port=%v local=%v reservation=%s taker=%s move=%s", k, s.WantIPs, s.WantPool, s.SharingKey, s.Ports, s.Local, s.Reservation, a.taker, s.Reallocate)
}

func (w *town) address(f spec.Family) netip.Addr {
	base := map[spec.Family]string{v4: "192.0.2.0", v6: "2001:db8::"}[f]
	return numberOf(netip.MustParseAddr(base)).plus(uint64(w.choices(20))).addr()
}

func (w *town) remove() {
	k := w.someone()
	delete(w.asks, k)
	delete(w.known, k)
	w.tell("delete %v", k)
	if k.reserves {
		w.table.Unreserve(k.NamespacedName)
	} else {
		w.table.Release(k.NamespacedName)
	}
}

func (w *town) editPools() {
	w.pools, w.forbidden = nil, nil
	for i, name := range []string{"p", "q", "r"} {
		if w.choices(5) == 0 {
			continue
		}
		p := spec.Pool{Name: name, Created: epoch, AutoAssign: w.choices(5) > 0, Disabled: w.choices(8) == 0, AvoidBuggyIPs: w.choices(3) == 0}
		p.Priority, p.MaxPerNamespace, p.Sharing = w.choices(3), max(0, w.choices(6)-2), spec.Sharing(w.choices(3))
		p.ReuseCooldown = time.Duration(w.choices(3)*30) * time.Second
		for _, base := range []string{"192.0.2.0", "2001:db8::"} {
			from := numberOf(netip.MustParseAddr(base)).plus(uint64(6*i + w.choices(3)))
			p.Ranges = append(p.Ranges, spec.Range{From: from.addr(), To: from.plus(uint64(w.choices(4))).addr()})
			if w.choices(3) == 0 {
				p.Exclude = append(p.Exclude, spec.Range{From: from.plus(1).addr(), To: from.plus(1).addr()})
			}
		}
		if w.choices(4) == 0 {
			p.Allowed.Namespaces = []string{"a"}
		}
		if w.choices(6) == 0 {
			p.Allowed.Services = []labels.Selector{labels.Nothing()}
		}
		w.pools = append(w.pools, p)
	}
	if w.choices(3) == 0 {
		a := w.address(v4)
		w.forbidden = []Forbidden{{spec.Range{From: a, To: a}, "an address of node n1"}}
	}
	before := w.verdicts()
	w.table.SetForbidden(w.forbidden)
	w.table.SetPools(w.pools)
	w.tell("pools %+v forbidden %v", w.pools, w.forbidden)
	if d := cmp.Diff(before, w.verdicts(), cmp.Comparer(sameAddr)); d != "" {
		w.failf("an edit of pools moved addresses: %s", d)
	}
}

func (w *town) verdict(k who) Verdict {
	v, _ := w.table.look(w.table.find(k.NamespacedName, k.reserves))
	return v
}

func (w *town) verdicts() map[who][]netip.Addr {
	out := map[who][]netip.Addr{}
	for k := range w.known {
		out[k] = addrsIn(w.verdict(k))
	}
	return out
}

// batch claims for several at once.
func (w *town) batch(keys []who) []Verdict {
	var services []spec.Service
	var reservations []spec.Reservation
	var order []who
	for _, k := range keys {
		if a := w.asks[k]; a.Service != nil && !k.reserves {
			services, order = append(services, cloneService(*a.Service)), append(order, k)
		}
	}
	for _, k := range keys {
		if a := w.asks[k]; a.Service != nil && k.reserves {
			s := cloneService(*a.Service)
			reservations = append(reservations, spec.Reservation{
				Key: s.Key, UID: s.UID, Created: s.Created, Families: s.Families, Pool: s.WantPool, Addresses: s.WantIPs,
				ServiceName: a.taker, Held: s.Held, HeldSince: s.HeldSince, Pools: s.Pools,
			})
			order = append(order, k)
		}
	}
	before, held := w.verdicts(), w.inUse()
	got := w.table.ClaimAll(services, reservations...)
	for i, k := range order {
		w.known[k] = w.asks[k]
		w.tell("claim %v held %v since %v: [%s] %v %s: %s", k, w.asks[k].Held, w.asks[k].HeldSince.Unix(), brief(got[i]), got[i].Allocated, got[i].Reason, got[i].Message)
	}
	for i, k := range order {
		w.checkGains(k, before[k], got[i], held)
		w.checkLosses(k, before[k], got[i])
	}
	w.checkRest(got, services, reservations)
	return got
}

// checkRest claims again: nothing changes, or soon nothing any more (one may get back what its rival has left since).
func (w *town) checkRest(got []Verdict, services []spec.Service, reservations []spec.Reservation) {
	for range 3 {
		again := w.table.ClaimAll(services, reservations...)
		d := cmp.Diff(got, again, cmp.Comparer(sameAddr))
		if d == "" {
			return
		}
		w.tell("claimed again: %s", d)
		got = again
	}
	w.failf("claiming again and again changes the verdicts")
}

func (w *town) inUse() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, h := range w.table.holdings.all() {
		out[h.addr()] = true
	}
	return out
}

// checkGains: what is newly given away obeys its pool's rules.
func (w *town) checkGains(k who, before []netip.Addr, v Verdict, held map[netip.Addr]bool) {
	a := w.asks[k]
	for _, x := range v.Addresses {
		if slices.Contains(before, x.Addr) || held[x.Addr] || w.shown(x.Addr) {
			continue
		}
		i := slices.IndexFunc(w.pools, func(p spec.Pool) bool { return p.Name == x.Pool && p.Contains(x.Addr) })
		if i < 0 {
			if a.Reservation == "" && len(w.table.takers[a.Key]) == 0 {
				w.failf("%v was given %v, which is in no pool", k, x)
			}
			continue
		}
		p := w.pools[i]
		named := slices.Contains(a.WantIPs, x.Addr)
		reserved := !k.reserves && (a.Reservation != "" || len(w.table.takers[a.Key]) > 0)
		never := slices.ContainsFunc(p.Exclude, func(r spec.Range) bool { return r.Contains(x.Addr) }) ||
			slices.ContainsFunc(w.forbidden, func(f Forbidden) bool { return f.Contains(x.Addr) }) ||
			p.AvoidBuggyIPs && (strings.HasSuffix(x.Addr.String(), ".0") || strings.HasSuffix(x.Addr.String(), ".255"))
		switch {
		case never:
			w.failf("%v was given %v, which is never to be handed out", k, x)
		case reserved:
		case p.Disabled, !p.Allowed.Allows(k.Namespace, nil, nil), !p.AutoAssign && !named && a.WantPool != p.Name:
			w.failf("%v was given %v by a pool that is not for it", k, x)
		case a.WantPool != "" && a.WantPool != p.Name:
			w.failf("%v was given %v and wants pool %s", k, x, a.WantPool)
		}
	}
}

// shown tells whether the address is in somebody's status.
func (w *town) shown(x netip.Addr) bool {
	for _, a := range w.asks {
		if slices.Contains(a.Held, x) {
			return true
		}
	}
	return false
}

// checkLosses: an address goes only when its successor is there, or an elder claim has it.
func (w *town) checkLosses(k who, before []netip.Addr, v Verdict) {
	a := w.asks[k]
	for _, x := range before {
		if slices.Contains(addrsIn(v), x) || slices.ContainsFunc(v.Lost, func(l Lost) bool { return l.Addr == x }) {
			continue
		}
		if !slices.ContainsFunc(v.Addresses, func(y Assigned) bool { return spec.FamilyOf(y.Addr) == spec.FamilyOf(x) }) {
			w.failf("%v lost %s and has no other in its place", k, x)
		}
		if len(a.WantIPs) == 0 && a.WantPool == "" && a.Reservation == "" && a.Reallocate == "" && len(w.table.takers[a.Key]) == 0 {
			w.failf("%v lost %s and asked for no other", k, x)
		}
	}
	for _, x := range a.WantIPs {
		if v.Allocated && !slices.Contains(addrsIn(v), x) {
			w.failf("%v is allocated without %s", k, x)
		}
	}
}

func (w *town) claim(k who) {
	if w.asks[k].Service == nil {
		return
	}
	v := w.batch([]who{k})[0]
	if w.choices(3) > 0 {
		w.write(k, v)
	}
}

// write puts a verdict into the status.
func (w *town) write(k who, v Verdict) (changed bool) {
	a := w.asks[k]
	s := shows(*a.Service, v)
	s.Reallocated = v.Reallocated
	switch {
	case !v.Allocated:
		s.HeldSince = time.Time{}
	case s.HeldSince.IsZero():
		s.HeldSince = w.now()
	}
	changed = !slices.Equal(s.Held, a.Held) || !slices.Equal(s.Pools, a.Pools) || s.HeldSince != a.HeldSince || s.Reallocated != a.Reallocated
	a.Service = &s
	w.asks[k] = a
	return changed
}

// serve lets those claim again that must.
func (w *town) serve() {
	for round := 0; ; round++ {
		var keys []who
		for _, k := range w.table.TakeDisplaced() {
			keys = append(keys, who{k, false})
		}
		for _, k := range w.table.TakeDisplacedReservations() {
			keys = append(keys, who{k, true})
		}
		if len(keys) == 0 {
			return
		}
		if round > 20 {
			w.failf("no end of displacing")
		}
		w.batch(keys)
	}
}

func (w *town) everybody() []who {
	return slices.SortedFunc(maps.Keys(w.asks), func(a, b who) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
}

func (w *town) restart() {
	w.tell("restart")
	history := map[string][]Freed{}
	for _, p := range w.pools {
		history[p.Name] = w.table.Freed(p.Name)
	}
	w.table = New()
	clear(w.known)
	w.table.SetTime(w.now())
	w.table.SetForbidden(w.forbidden)
	w.table.SetPools(w.pools)
	for p, h := range history {
		w.table.Recall(p, h)
	}
	w.batch(w.everybody())
}

func (w *town) check() {
	w.t.Helper()
	if what := unsound(w.table); what != "" {
		w.failf("%s", what)
	}
	holders := map[netip.Addr][]who{}
	for k, addrs := range w.verdicts() {
		for _, x := range addrs {
			holders[x] = append(holders[x], k)
		}
	}
	for x, ks := range holders {
		for i, k := range ks {
			for _, l := range ks[:i] {
				if a, b := w.known[k], w.known[l]; !naive(&a, &b) {
					w.failf("%s is given to %v and %v, who may not share it", x, k, l)
				}
			}
		}
	}
}

// settle writes every verdict until nothing changes any more.
func (w *town) settle() {
	w.tell("settle")
	for round := 0; ; round++ {
		w.tick()
		keys, changed := w.everybody(), false
		services := w.batch(keys)
		ordered := append(slices.DeleteFunc(slices.Clone(keys), func(k who) bool { return k.reserves }), slices.DeleteFunc(slices.Clone(keys), func(k who) bool { return !k.reserves })...)
		for i, k := range ordered {
			changed = w.write(k, services[i]) || changed
		}
		w.serve()
		w.check()
		if !changed && round > 10 { // by then everything has rested
			break
		}
		if round > 40 {
			w.failf("no rest after %d rounds", round)
		}
	}
	before := w.verdicts()
	w.restart()
	if d := cmp.Diff(before, w.verdicts(), cmp.Comparer(sameAddr), cmpopts.EquateEmpty()); d != "" {
		w.failf("a restart moved addresses: %s", d)
	}
	w.check()
}

// TestRules runs random histories with all rules in use.
func TestRules(t *testing.T) {
	const histories, steps = 500, 60
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := newTown(t, r.IntN)
		w.tell("history %d", seed)
		for range steps {
			w.step()
		}
		w.settle()
	}
}

// FuzzRules lets the fuzzer write the history: each choice is one byte.
func FuzzRules(f *testing.F) {
	fuzzHistories(f, 13, func(t *testing.T, choices func(int) int) history { return newTown(t, choices) })
}
