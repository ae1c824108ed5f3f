package alloc

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

func reservation(name string, second int, families ...spec.Family) spec.Reservation {
	return spec.Reservation{Key: keyOf(name), UID: types.UID("r-" + name), Created: epoch.Add(time.Duration(second) * time.Second), Families: families}
}

// TestReservationsFirst: in one pass a Service takes the addresses of a reservation that is younger than itself.
func TestReservationsFirst(t *testing.T) {
	named, silent := reservation("r", 50, v4, v6), reservation("for-silent", 51, v4)
	silent.ServiceName = "silent"
	in := Input{
		Pools: []spec.Pool{newPool(t, "a", "192.0.2.0/29", "2001:db8::/125")},
		Services: []spec.Service{
			svc("asks", created(1), policy(spec.RequireDualStack, v6, v4), func(s *spec.Service) { s.Reservation = "r" }),
			svc("silent", created(2)),
			svc("other", created(3)),
		},
		Reservations: []spec.Reservation{named, silent},
	}
	var got []string
	for _, v := range in.Assign() {
		got = append(got, v.Key.Name+" "+brief(v))
	}
	want := []string{
		"asks 2001:db8::@a 192.0.2.1@a", "silent 192.0.2.2@a", "other 192.0.2.0@a",
		"r 192.0.2.1@a 2001:db8::@a", "for-silent 192.0.2.2@a",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestReservationLife: what waits, what is displaced, and what is left.
func TestReservationLife(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0")})
	table.Reserve(reservation("first", 1, v4))
	if v := table.Reserve(reservation("second", 2, v4)); v.Allocated || v.Reason != ReasonPoolExhausted {
		t.Errorf("second: %+v", v)
	}
	if d := cmp.Diff([]types.NamespacedName{keyOf("second")}, table.PendingReservations()); d != "" {
		t.Errorf("pending reservations: %s", d)
	}
	if got := table.Pending(); len(got) > 0 {
		t.Errorf("pending Services: %v", got)
	}
	// A Service in whose status the address stands is elder than a promise.
	table.Claim(svc("holder", holds("192.0.2.0"), since(1)))
	if got := table.TakeDisplaced(); len(got) > 0 {
		t.Errorf("displaced Services: %v", got)
	}
	if d := cmp.Diff([]types.NamespacedName{keyOf("first")}, table.TakeDisplacedReservations()); d != "" {
		t.Errorf("displaced reservations: %s", d)
	}
	if v, ok := table.Reservation(keyOf("first")); !ok || v.Allocated || v.Reason != ReasonAddressTaken {
		t.Errorf("first: %+v, %v", v, ok)
	}
	table.Unreserve(keyOf("first"))
	if _, ok := table.Reservation(keyOf("first")); ok {
		t.Error("a reservation that is gone has a verdict")
	}
	if k, ok := table.Holder(netip.MustParseAddr("192.0.2.0")); !ok || k.Name != "holder" {
		t.Errorf("holder %v, %v", k, ok)
	}
}

// TestFreed: the newest 256 of a pool are remembered, the latest last.
func TestFreed(t *testing.T) {
	pool := newPool(t, "a", "10.0.0.0/16")
	pool.ReuseCooldown = time.Hour
	table := New()
	table.SetTime(epoch)
	table.SetPools([]spec.Pool{pool})
	var services []spec.Service
	for i := range 300 {
		services = append(services, svc(string(rune('a'+i%26))+string(rune('a'+i/26)), created(i)))
	}
	table.ClaimAll(services)
	for i, s := range services {
		table.SetTime(epoch.Add(time.Duration(i) * time.Second))
		table.Release(s.Key)
	}
	freed := table.Freed("a")
	first, last := freed[0], freed[len(freed)-1]
	if len(freed) != 256 || first.Addr.String() != "10.0.0.44" || last.Addr.String() != "10.0.1.43" || last.At != epoch.Add(299*time.Second) {
		t.Errorf("%d freed, %v to %v", len(freed), first, last)
	}
	if at, ok := table.Wake(); !ok || at != epoch.Add(time.Hour) {
		t.Errorf("wake at %v, %v", at, ok)
	}
	if u := table.Usage("a"); u.AvailableIPv4 != 1<<16-300 {
		t.Errorf("%d available", u.AvailableIPv4)
	}
	table.SetTime(epoch.Add(time.Hour + 9*time.Second))
	if u := table.Usage("a"); u.AvailableIPv4 != 1<<16-290 {
		t.Errorf("%d available when ten have rested", u.AvailableIPv4)
	}
	if got := table.Freed("unknown"); len(got) > 0 {
		t.Errorf("an unknown pool has freed %v", got)
	}
}

// TestRunCount compares the number of addresses that are handed out with counting them.
func TestRunCount(t *testing.T) {
	base := numberOf(netip.MustParseAddr("192.0.0.250"))
	for from := range uint64(14) {
		for length := range uint64(600) {
			r := run{base.plus(from), base.plus(from + length), true, true}
			n := uint64(0)
			for x := r.from; r.contains(x); x = x.plus(1) {
				if r.offers(x) {
					n++
				}
			}
			if r.count() != n {
				t.Fatalf("%s-%s: %d, counted %d", r.from.addr(), r.to.addr(), r.count(), n)
			}
		}
	}
	all := run{numberOf(netip.MustParseAddr("0.0.0.0")), numberOf(netip.MustParseAddr("255.255.255.255")), true, true}
	if got := all.count(); got != 254<<24 {
		t.Errorf("all of IPv4: %d", got)
	}
}

func TestForbids(t *testing.T) {
	pool := newPool(t, "a", "10.96.0.0/16", "2001:db8::/64")
	in := []Forbidden{
		{newPool(t, "", "10.96.0.0/12").Ranges[0], "the Service CIDR"},
		{newPool(t, "", "10.0.0.0/16").Ranges[0], "a pod CIDR"},
		{newPool(t, "", "2001:db8::5").Ranges[0], "an address of node n1"},
	}
	if d := cmp.Diff([]Forbidden{in[0], in[2]}, Forbids(in, pool.Ranges), cmp.Comparer(sameAddr)); d != "" {
		t.Error(d)
	}
	// An order of calls that forbids later takes nothing away.
	table := New()
	table.SetPools([]spec.Pool{pool})
	s := svc("a", policy(spec.RequireDualStack, v4, v6))
	before := table.Claim(s)
	table.SetForbidden(in)
	if d := cmp.Diff(before, table.Claim(s), cmp.Comparer(sameAddr)); d != "" {
		t.Error(d)
	}
	if v := table.Claim(svc("b")); v.Reason != ReasonNoFamily {
		t.Errorf("an address of the Service CIDR: %+v", v)
	}
}

// TestOnePass: what one lets go in a pass another may have in the same pass, whoever comes first.
func TestOnePass(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0/30")})
	wants := func(ip string) option {
		return func(s *spec.Service) { s.WantIPs = []netip.Addr{netip.MustParseAddr(ip)} }
	}
	table.Claim(svc("has", created(9), wants("192.0.2.0")))
	got := table.ClaimAll([]spec.Service{svc("waits", created(1), wants("192.0.2.0")), svc("has", created(9), wants("192.0.2.1"))})
	if brief(got[0]) != "192.0.2.0@a" || brief(got[1]) != "192.0.2.1@a" {
		t.Errorf("%v", got)
	}
}

// TestRecall: of a history only that counts which is still true.
func TestRecall(t *testing.T) {
	pool := newPool(t, "a", "192.0.2.0/29")
	pool.ReuseCooldown, pool.Exclude = time.Minute, newPool(t, "", "192.0.2.3").Ranges
	table := New()
	table.SetTime(epoch.Add(time.Minute))
	table.SetPools([]spec.Pool{pool})
	table.Claim(svc("holder", holds("192.0.2.0")))
	var history []Freed
	for _, a := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"} {
		history = append(history, Freed{netip.MustParseAddr(a), epoch.Add(time.Duration(len(history)) * time.Second)})
	}
	table.Recall("a", history)
	table.Recall("unknown", history)
	if d := cmp.Diff(history[1:2], table.Freed("a")[:1], cmp.Comparer(sameAddr)); d != "" {
		t.Error(d)
	}
	if got := table.Freed("a"); len(got) != 2 {
		t.Errorf("recalled %v", got)
	}
	if what := unsound(table); what != "" {
		t.Error(what)
	}
}

// TestClockPutBack: an address freed later never counts as freed earlier than one before it.
func TestClockPutBack(t *testing.T) {
	pool := newPool(t, "a", "192.0.2.0/31")
	pool.ReuseCooldown = time.Minute
	table := New()
	table.SetPools([]spec.Pool{pool})
	a, b := svc("a"), svc("b")
	table.ClaimAll([]spec.Service{a, b})
	table.SetTime(epoch.Add(time.Hour))
	table.Release(a.Key)
	table.SetTime(epoch)
	table.Release(b.Key)
	table.SetTime(epoch.Add(30 * time.Minute))
	if v := table.Claim(svc("c")); v.Reason != ReasonResting {
		t.Errorf("an address that rests was given away: %+v", v)
	}
	table.SetTime(epoch.Add(time.Hour + time.Minute))
	for _, want := range []string{"192.0.2.0@a", "192.0.2.1@a"} {
		if v := table.Claim(svc("of-" + want)); brief(v) != want {
			t.Errorf("got %s, want %s", brief(v), want)
		}
	}
	if what := unsound(table); what != "" {
		t.Error(what)
	}
}
