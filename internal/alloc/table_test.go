package alloc

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

const (
	v4 = spec.IPv4
	v6 = spec.IPv6
)

// TestAssign: who gets what when everybody comes at once.
func TestAssign(t *testing.T) {
	type want struct {
		addrs     string
		allocated bool
		reason    spec.Reason
	}
	four, six := newPool(t, "four", "192.0.2.0-192.0.2.1"), newPool(t, "six", "2001:db8::-2001:db8::1")
	both := newPool(t, "zboth", "198.51.100.0/31", "2001:db8:1::/127")
	manual := newPool(t, "manual", "203.0.113.0/24")
	manual.AutoAssign = false
	for _, c := range []struct {
		name     string
		pools    []spec.Pool
		services []spec.Service
		want     []want
	}{
		{"no pool", nil, []spec.Service{svc("a")}, []want{{"", false, ReasonNoPool}}},
		{"no automatic pool", []spec.Pool{manual}, []spec.Service{svc("a")}, []want{{"", false, ReasonNoPool}}},
		{"no pool of the family", []spec.Pool{six}, []spec.Service{svc("a")}, []want{{"", false, ReasonNoFamily}}},
		{
			"lowest first, elder first, then by name",
			[]spec.Pool{four},
			[]spec.Service{svc("c", created(5)), svc("b"), svc("a")},
			[]want{{"", false, ReasonPoolExhausted}, {"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"pools in the order of their names",
			[]spec.Pool{both, four},
			[]spec.Service{svc("a"), svc("b"), svc("c")},
			[]want{{"192.0.2.0@four", true, ReasonAllocated}, {"192.0.2.1@four", true, ReasonAllocated}, {"198.51.100.0@zboth", true, ReasonAllocated}},
		},
		{
			"both families from the first pool that has both, in the Service's order",
			[]spec.Pool{four, six, both},
			[]spec.Service{svc("a", policy(spec.RequireDualStack, v6, v4))},
			[]want{{"2001:db8:1::@zboth 198.51.100.0@zboth", true, ReasonAllocated}},
		},
		{
			"else each from the first that has it",
			[]spec.Pool{six, four},
			[]spec.Service{svc("a", policy(spec.PreferDualStack, v4, v6))},
			[]want{{"192.0.2.0@four 2001:db8::@six", true, ReasonAllocated}},
		},
		{
			"RequireDualStack: both or none",
			[]spec.Pool{four},
			[]spec.Service{svc("a", policy(spec.RequireDualStack, v4, v6)), svc("b")},
			[]want{{"", false, ReasonNoFamily}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"PreferDualStack: one is enough",
			[]spec.Pool{four},
			[]spec.Service{svc("a", policy(spec.PreferDualStack, v6, v4))},
			[]want{{"192.0.2.0@four", true, ReasonOneFamily}},
		},
		{
			"PreferDualStack with none is not allocated",
			[]spec.Pool{manual},
			[]spec.Service{svc("a", policy(spec.PreferDualStack, v6, v4))},
			[]want{{"", false, ReasonNoPool}},
		},
		{
			"SingleStack takes the first family only",
			[]spec.Pool{four, six},
			[]spec.Service{svc("a", policy(spec.SingleStack, v6, v4))},
			[]want{{"2001:db8::@six", true, ReasonAllocated}},
		},
		{
			"no families means IPv4",
			[]spec.Pool{four, six},
			[]spec.Service{svc("a", policy(spec.SingleStack))},
			[]want{{"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"holders come first, in any pool",
			[]spec.Pool{four, manual},
			[]spec.Service{svc("a"), svc("b", created(9), holds("192.0.2.0")), svc("c", holds("203.0.113.7"))},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}, {"203.0.113.7@manual", true, ReasonAllocated}},
		},
		{
			"of two holders the one that held first has it",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("192.0.2.0"), since(9)), svc("b", created(3), holds("192.0.2.0"), since(8))},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"then the one created first",
			[]spec.Pool{four},
			[]spec.Service{svc("a", created(3), holds("192.0.2.0"), since(9)), svc("b", created(2), holds("192.0.2.0"), since(9))},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"then the lower UID",
			[]spec.Pool{four},
			[]spec.Service{
				svc("a", holds("192.0.2.0"), uid("ffffffff-0000-4000-8000-000000000000")),
				svc("b", holds("192.0.2.0"), uid("0fffffff-0000-4000-8000-000000000000")),
			},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"one who holds for certain is elder than one who never did",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("192.0.2.0")), svc("b", created(3), holds("192.0.2.0"), since(100))},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}, {"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"an address of no pool, marked: kept",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("203.0.113.9@old"))},
			[]want{{"203.0.113.9@old", true, ReasonPoolGone}},
		},
		{
			"an address of no pool, unmarked: somebody else's",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("203.0.113.9"))},
			[]want{{"192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"a pool adopts what is marked with another's name",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("192.0.2.1@old"))},
			[]want{{"192.0.2.1@four", true, ReasonAllocated}},
		},
		{
			"several held addresses of a family are all kept",
			[]spec.Pool{four},
			[]spec.Service{svc("a", holds("192.0.2.1", "192.0.2.0"))},
			[]want{{"192.0.2.1@four 192.0.2.0@four", true, ReasonAllocated}},
		},
		{
			"a holder of one family keeps it though it requires two",
			[]spec.Pool{four},
			[]spec.Service{svc("a", policy(spec.RequireDualStack, v4, v6), holds("192.0.2.1"))},
			[]want{{"192.0.2.1@four", false, ReasonNoFamily}},
		},
		{
			"one who is being deleted keeps what it has and gets nothing",
			[]spec.Pool{four, six},
			[]spec.Service{
				svc("a", policy(spec.PreferDualStack, v4, v6), holds("192.0.2.1"), terminated),
				svc("b", terminated),
			},
			[]want{{"192.0.2.1@four", true, ReasonTerminating}, {"", false, ReasonTerminating}},
		},
		{
			"where pools overlap the older one has the addresses",
			[]spec.Pool{newPool(t, "a", "192.0.2.0/24"), func() spec.Pool { p := newPool(t, "b", "192.0.2.0/28"); p.Created = epoch.AddDate(-1, 0, 0); return p }()},
			[]spec.Service{svc("a", holds("192.0.2.15")), svc("b", holds("192.0.2.16"))},
			[]want{{"192.0.2.15@b", true, ReasonAllocated}, {"192.0.2.16@a", true, ReasonAllocated}},
		},
		{
			"to the very last address of the space",
			[]spec.Pool{newPool(t, "a", "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
			[]spec.Service{svc("a", policy(spec.RequireDualStack, v4, v6)), svc("b")},
			[]want{{"255.255.255.255@a ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff@a", true, ReasonAllocated}, {"", false, ReasonPoolExhausted}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []want
			for _, v := range Assign(c.pools, c.services) {
				got = append(got, want{brief(v), v.Allocated, v.Reason})
			}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func terminated(s *spec.Service) { s.Terminated = true }

// TestAssignIsOrderless: the verdicts do not depend on the order of the arguments.
func TestAssignIsOrderless(t *testing.T) {
	pools := []spec.Pool{newPool(t, "a", "192.0.2.0/30"), newPool(t, "b", "192.0.2.8/30", "2001:db8::/126")}
	services := []spec.Service{
		svc("a", created(3)), svc("b", holds("192.0.2.0")), svc("c", holds("192.0.2.0"), since(4)),
		svc("d", policy(spec.PreferDualStack, v4, v6)), svc("e", holds("203.0.113.1@gone")), svc("f"), svc("g"),
	}
	byKey := cmpopts.SortSlices(func(a, b Verdict) bool { return compareKeys(a.Key, b.Key) < 0 })
	want := Assign(pools, services)
	for i := range services {
		turned := append(slices.Clone(services[i:]), services[:i]...)
		if d := cmp.Diff(want, Assign([]spec.Pool{pools[1], pools[0]}, turned), byKey, cmp.Comparer(sameAddr)); d != "" {
			t.Errorf("turned by %d: %s", i, d)
		}
	}
}

func TestUsage(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0/30", "2001:db8::/64"), newPool(t, "b", "198.51.100.0/31")})
	table.ClaimAll([]spec.Service{
		svc("a", policy(spec.PreferDualStack, v4, v6)), svc("b"), svc("c", holds("198.51.100.1")), svc("d", holds("192.0.2.77@a")),
	})
	const many = 1<<63 - 1
	for name, want := range map[string]Usage{
		"a":       {AssignedIPv4: 2, AssignedIPv6: 1, AvailableIPv4: 2, AvailableIPv6: many, Outside: 1},
		"b":       {AssignedIPv4: 1, AvailableIPv4: 1},
		"unknown": {},
	} {
		if d := cmp.Diff(want, table.Usage(name)); d != "" {
			t.Errorf("pool %s: %s", name, d)
		}
	}
	table.SetPools(nil)
	if d := cmp.Diff(Usage{Outside: 4}, table.Usage("a")); d != "" {
		t.Errorf("pool a when it is gone: %s", d)
	}
	for _, n := range []string{"a", "b", "d"} {
		table.Release(types.NamespacedName{Namespace: "default", Name: n})
	}
	if d := cmp.Diff(Usage{}, table.Usage("a")); d != "" {
		t.Errorf("pool a when nobody is left: %s", d)
	}
}

func TestLacking(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0")})
	table.ClaimAll([]spec.Service{svc("a"), svc("b"), svc("c")}, reservation("r", 1, v4))
	if got := table.Lacking(); got != 2 || len(table.Pending()) != got || len(table.PendingReservations()) != 1 {
		t.Errorf("%d lack an address; Services %v, reservations %v", got, table.Pending(), table.PendingReservations())
	}
}

// TestWhereThePoolIs: a holder is told what became of its pool.
func TestWhereThePoolIs(t *testing.T) {
	for _, c := range []struct {
		name     string
		pools    []spec.Pool
		unusable []string
		reason   spec.Reason
		want     string
	}{
		{"there", []spec.Pool{newPool(t, "a", "192.0.2.0/30")}, nil, ReasonAllocated, "192.0.2.1 from pool a"},
		{"shrunk", []spec.Pool{newPool(t, "a", "192.0.2.0")}, nil, ReasonPoolGone, "192.0.2.1 is kept, though pool a no longer contains it"},
		{"unusable", nil, []string{"a"}, ReasonPoolGone, "192.0.2.1 is kept, though its pool a cannot be used: see the pool's condition Ready"},
		{"gone", nil, []string{"b"}, ReasonPoolGone, "192.0.2.1 is kept, though its pool a is gone"},
	} {
		table := New()
		table.SetPools(c.pools)
		table.SetUnusable(c.unusable)
		if v := table.Claim(svc("s", holds("192.0.2.1@a"))); v.Message != c.want || v.Reason != c.reason || !v.Allocated {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// TestLost: who keeps an address that two had is told with the verdict of the other.
func TestLost(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0/30")})
	elder, younger := svc("elder", holds("192.0.2.1"), since(1)), svc("younger", holds("192.0.2.1"), since(2))
	for _, v := range table.ClaimAll([]spec.Service{younger, elder}) {
		var want []Lost
		if v.Key == younger.Key {
			want = []Lost{{elder.Held[0], "default/elder", elder.Key}}
		}
		if d := cmp.Diff(want, v.Lost, cmp.Comparer(sameAddr)); d != "" {
			t.Errorf("%s: %s", v.Key, d)
		}
	}
}

func TestRelease(t *testing.T) {
	table := New()
	table.SetPools([]spec.Pool{newPool(t, "a", "192.0.2.0/31", "2001:db8::/127")})
	s := svc("a", policy(spec.RequireDualStack, v6, v4))
	v := table.Claim(s)
	if d := cmp.Diff(v.Addresses, table.Release(s.Key), cmp.Comparer(sameAddr), cmpopts.SortSlices(func(a, b Assigned) bool { return b.Addr.Less(a.Addr) })); d != "" {
		t.Error(d)
	}
	if got := table.Release(s.Key); got != nil {
		t.Errorf("released twice: %v", got)
	}
	if _, ok := table.Verdict(s.Key); ok {
		t.Error("there is a verdict about a Service that was released")
	}
	if _, ok := table.Holder(v.Addresses[0].Addr); ok {
		t.Error("a released address has a holder")
	}
}
