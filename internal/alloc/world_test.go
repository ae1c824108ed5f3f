package alloc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// world is a cluster in small: what the API server holds, what the controller's cache shows of it, writes on their way,
// and a table with its twin. Every choice is a byte of input, so that fuzzing and random histories share it.
type world struct {
	t        *testing.T
	choices  func(n int) int
	clock    int
	server   map[types.NamespacedName]*object
	cache    map[types.NamespacedName]object
	writes   []write
	pools    []spec.Pool
	table    *Table
	twin     *twin
	doubled  map[netip.Addr]bool // addresses that somebody else wrote into a status
	story    []string
	versions int
	honest   bool // nobody meddles
}

type object struct {
	spec.Service
	version int
}

// write is a patch of a status with its optimistic lock.
type write struct {
	version int
	verdict Verdict
}

func newWorld(t *testing.T, choices func(int) int) *world {
	w := &world{
		t: t, choices: choices, table: New(), twin: newTwin(), doubled: map[netip.Addr]bool{},
		server: map[types.NamespacedName]*object{}, cache: map[types.NamespacedName]object{},
	}
	w.editPools()
	return w
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.story[max(0, len(w.story)-40):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// step does one thing that may happen, and looks whether all is still well.
func (w *world) step() {
	w.clock++
	switch w.choices(16) {
	case 0, 1, 2:
		w.create()
	case 3:
		w.remove()
	case 4:
		w.reshape()
	case 5:
		w.editPools()
	case 6, 7, 8:
		w.sync(w.someKey())
	case 9, 10, 11:
		w.claim(w.someKey())
	case 12, 13:
		w.deliver()
	case 14:
		w.restart()
	case 15:
		w.meddle()
	}
	w.check()
}

func (w *world) someKey() types.NamespacedName {
	return types.NamespacedName{Namespace: []string{"a", "b"}[w.choices(2)], Name: string(rune('a' + w.choices(8)))}
}

func (w *world) families() (spec.DualStack, []spec.Family) {
	order := [][]spec.Family{{v4}, {v6}, {v4, v6}, {v6, v4}}[w.choices(4)]
	if len(order) == 1 {
		return spec.SingleStack, order
	}
	return spec.PreferDualStack + spec.DualStack(w.choices(2)), order
}

func (w *world) touch(o *object) {
	w.versions++
	o.version = w.versions
}

// create makes a Service, or makes one anew under the same name.
func (w *world) create() {
	k := w.someKey()
	s := spec.Service{Key: k, UID: types.UID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", w.choices(1<<30))), Created: epoch.Add(time.Duration(w.clock/3) * time.Second)}
	s.Policy, s.Families = w.families()
	o := &object{Service: s}
	w.touch(o)
	w.server[k] = o
	w.tell("create %s %v %v", k, s.Policy, s.Families)
}

func (w *world) remove() {
	k := w.someKey()
	delete(w.server, k)
	w.tell("delete %s", k)
}

func (w *world) reshape() {
	if o := w.server[w.someKey()]; o != nil {
		o.Policy, o.Families = w.families()
		o.Terminated = w.choices(8) == 0
		w.touch(o)
		w.tell("reshape %s %v %v terminated=%v", o.Key, o.Policy, o.Families, o.Terminated)
	}
}

// editPools replaces the pools: grown, shrunk, renamed, deleted, as it happens. No holder loses anything.
func (w *world) editPools() {
	w.pools = nil
	for i, name := range []string{"p", "q", "r"} {
		if w.choices(4) == 0 {
			continue
		}
		p := spec.Pool{Name: name, Created: epoch, AutoAssign: w.choices(5) > 0}
		for f, base := range []string{"192.0.2.0", "2001:db8::"} {
			from := numberOf(netip.MustParseAddr(base)).plus(uint64(8*(i+w.choices(2)*3) + w.choices(3)))
			if n := w.choices(7); n > 0 && f < 2 {
				p.Ranges = append(p.Ranges, spec.Range{From: from.addr(), To: from.plus(uint64(n - 1)).addr()})
			}
		}
		w.pools = append(w.pools, p)
	}
	w.tell("pools %v", w.pools)
	before := w.addresses()
	w.table.SetPools(w.pools)
	w.twin.setPools(w.pools)
	if d := cmp.Diff(before, w.addresses(), cmp.Comparer(sameAddr)); d != "" {
		w.failf("an edit of pools moved addresses: %s", d)
	}
}

// addresses is who holds what by the table.
func (w *world) addresses() map[types.NamespacedName][]netip.Addr {
	out := map[types.NamespacedName][]netip.Addr{}
	for k := range w.twin.claims {
		v, _ := w.table.Verdict(k)
		for _, a := range v.Addresses {
			out[k] = append(out[k], a.Addr)
		}
	}
	return out
}

// sync lets the cache see one object as it is; what it sees gone is released.
func (w *world) sync(k types.NamespacedName) {
	if o := w.server[k]; o != nil {
		w.cache[k] = object{cloneService(o.Service), o.version}
		return
	}
	delete(w.cache, k)
	w.table.Release(k)
	delete(w.twin.claims, k)
}

func cloneService(s spec.Service) spec.Service {
	s.Held, s.Pools = slices.Clone(s.Held), slices.Clone(s.Pools)
	return s
}

// claim is the controller's pass over one Service, and over all who are pending then.
func (w *world) claim(k types.NamespacedName) {
	if _, ok := w.cache[k]; ok {
		w.claimAll([]types.NamespacedName{k})
	}
	for again := w.table.TakeDisplaced(); len(again) > 0; again = w.table.TakeDisplaced() {
		w.claimAll(again)
	}
}

func (w *world) claimAll(keys []types.NamespacedName) {
	var services []spec.Service
	for _, k := range keys {
		services = append(services, w.cache[k].Service)
	}
	got := w.table.ClaimAll(services)
	w.compare("claim", w.twin.claimAll(services), got)
	for _, v := range got {
		w.tell("claim %s (status %v since %v): %s %s", v.Key, w.cache[v.Key].Held, w.cache[v.Key].HeldSince.Unix(), brief(v), v.Message)
		w.writes = append(w.writes, write{w.cache[v.Key].version, v})
	}
	for i, v := range w.table.ClaimAll(services) {
		if d := cmp.Diff(got[i], v, cmp.Comparer(sameAddr), cmpopts.IgnoreFields(Verdict{}, "Lost")); d != "" {
			w.failf("claiming again changed the verdict: %s", d)
		}
	}
}

func (w *world) compare(what string, want, got []Verdict) {
	w.t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(sameAddr), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Verdict{}, "Reason", "Message", "Lost")); d != "" {
		w.failf("%s: twin and table disagree: %s", what, d)
	}
}

// deliver lets one write arrive, if the object is still as the writer knew it; one in four is lost on the way.
func (w *world) deliver() {
	if len(w.writes) == 0 {
		return
	}
	i := w.choices(len(w.writes))
	patch := w.writes[i]
	w.writes = slices.Delete(w.writes, i, i+1)
	if o := w.server[patch.verdict.Key]; o != nil && o.version == patch.version && w.choices(4) > 0 {
		w.apply(o, patch.verdict)
	}
}

func (w *world) apply(o *object, v Verdict) {
	o.Service = shows(o.Service, v)
	switch {
	case !v.Allocated:
		o.HeldSince = time.Time{}
	case o.HeldSince.IsZero():
		o.HeldSince = epoch.Add(time.Duration(w.clock/3) * time.Second)
	}
	w.touch(o)
	w.tell("written %s %s since %v", o.Key, brief(v), o.HeldSince.Unix())
}

// restart begins with an empty table and the API server's own word; writes of before are fenced.
func (w *world) restart() {
	w.tell("restart")
	w.table, w.twin, w.writes = New(), newTwin(), nil
	w.table.SetPools(w.pools)
	w.twin.setPools(w.pools)
	clear(w.cache)
	for k := range w.server {
		w.sync(k)
	}
	if keys := w.cached(); len(keys) > 0 {
		w.claimAll(keys)
	}
}

func (w *world) cached() []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(w.cache), compareKeys)
}

// meddle writes an address into a status past the controller: another leader, a backup, a hand.
func (w *world) meddle() {
	o := w.server[w.someKey()]
	if o == nil || w.honest || w.choices(3) > 0 {
		return
	}
	base := []string{"192.0.2.0", "2001:db8::"}[w.choices(2)]
	a := numberOf(netip.MustParseAddr(base)).plus(uint64(w.choices(48))).addr()
	o.Held, o.Pools = []netip.Addr{a}, nil
	if w.choices(2) == 0 {
		o.Pools = []string{"q"}
		o.HeldSince = epoch.Add(time.Duration(w.choices(w.clock)) * time.Second)
	}
	w.doubled[a] = true
	w.touch(o)
	w.tell("meddle %s %v since %v", o.Key, a, o.HeldSince.Unix())
}

// check looks for an address that two have: in the table never, on the API server only where somebody meddled.
func (w *world) check() {
	holder := map[netip.Addr]types.NamespacedName{}
	for k, addrs := range w.addresses() {
		for _, a := range addrs {
			if other, taken := holder[a]; taken {
				w.failf("the table gave %s to %s and %s", a, k, other)
			}
			holder[a] = k
		}
	}
	clear(holder)
	for k, o := range w.server {
		for _, a := range o.Held {
			if other, taken := holder[a]; taken && !w.doubled[a] {
				w.failf("the API server shows %s at %s and %s", a, k, other)
			}
			holder[a] = k
		}
	}
	w.checkUsage()
	if what := unsound(w.table); what != "" {
		w.failf("%s", what)
	}
}

// checkUsage counts by hand.
func (w *world) checkUsage() {
	for _, p := range w.pools {
		var want Usage
		for _, r := range p.Ranges {
			for a := r.From; r.Contains(a); a = a.Next() {
				switch held, f := w.twin.held(a), r.Family(); {
				case held && f == v4:
					want.AssignedIPv4++
				case held:
					want.AssignedIPv6++
				case f == v4:
					want.AvailableIPv4++
				default:
					want.AvailableIPv6++
				}
			}
		}
		outside := map[netip.Addr]bool{}
		for _, c := range w.twin.claims {
			for _, h := range c.holds {
				if h.pool == p.Name && !p.Contains(h.addr) {
					outside[h.addr] = true
				}
			}
		}
		want.Outside = int64(len(outside))
		if d := cmp.Diff(want, w.table.Usage(p.Name)); d != "" {
			w.failf("usage of pool %s: %s", p.Name, d)
		}
	}
}

// settle lets everything arrive, until a pass over all changes nothing. Then what the API server shows must be free of
// doubles and the same as computed from nothing.
func (w *world) settle() {
	w.tell("settle")
	w.writes = nil
	for round := 0; ; round++ {
		for _, k := range append(slices.Collect(maps.Keys(w.server)), w.cached()...) {
			w.sync(k)
		}
		changed := w.passOver(w.cached())
		if !changed {
			break
		}
		if round > 20 {
			w.failf("no rest after %d rounds", round)
		}
	}
	clear(w.doubled)
	w.check()
	w.compareFromNothing()
}

func (w *world) passOver(keys []types.NamespacedName) (changed bool) {
	if len(keys) > 0 {
		w.claimAll(keys)
	}
	for _, patch := range w.writes {
		o := w.server[patch.verdict.Key]
		if now := shows(o.Service, patch.verdict); !slices.Equal(now.Held, o.Held) || !slices.Equal(now.Pools, o.Pools) {
			w.apply(o, patch.verdict)
			changed = true
		}
	}
	w.writes = nil
	return changed
}

func (w *world) compareFromNothing() {
	var services []spec.Service
	var want []Verdict
	for _, k := range w.cached() {
		services = append(services, w.cache[k].Service)
		v, _ := w.table.Verdict(k)
		want = append(want, v)
	}
	w.compare("from nothing", want, Assign(w.pools, services))
}

// TestHistories runs random histories against the twin.
func TestHistories(t *testing.T) {
	const histories, steps = 600, 60
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, r.IntN)
		w.honest = seed%2 == 0
		w.tell("history %d", seed)
		for range steps {
			w.step()
		}
		w.settle()
	}
}

// FuzzHistory lets the fuzzer write the history: each choice is one byte.
func FuzzHistory(f *testing.F) {
	fuzzHistories(f, 11, func(t *testing.T, choices func(int) int) history { return newWorld(t, choices) })
}

type history interface {
	step()
	settle()
}

func fuzzHistories(f *testing.F, stream uint64, begin func(*testing.T, func(n int) int) history) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, stream))
		in := make([]byte, 500)
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = in[:min(len(in), 800)]
		h := begin(t, func(n int) int {
			if len(in) == 0 {
				return 0
			}
			b := int(in[0])
			in = in[1:]
			return b % n
		})
		for len(in) > 0 {
			h.step()
		}
		h.settle()
	})
}
