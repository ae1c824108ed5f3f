package alloc

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		from, to string
		distance uint64
		family   int
	}{
		{"0.0.0.0", "255.255.255.255", 1<<32 - 1, 0},
		{"192.0.2.255", "192.0.3.0", 1, 0},
		{"::", "::1", 1, 1},
		{"2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::", 1, 1},
		{"2001:db8::", "2001:db8::ffff:ffff:ffff:fffe", math.MaxUint64 - 1, 1},
		{"2001:db8::1", "2001:db8:0:1::", math.MaxUint64, 1},
		{"2001:db8::", "2001:db8:0:1::1", math.MaxUint64, 1}, // clamped
		{"::", "ffff::", math.MaxUint64, 1},
	} {
		from, to := numberOf(netip.MustParseAddr(c.from)), numberOf(netip.MustParseAddr(c.to))
		if got := to.minus(from); got != c.distance {
			t.Errorf("%s - %s = %d, want %d", c.to, c.from, got, c.distance)
		}
		if c.distance < math.MaxUint64 && from.plus(c.distance) != to {
			t.Errorf("%s + %d = %s", c.from, c.distance, from.plus(c.distance).addr())
		}
		if got := to.addr().String(); got != c.to {
			t.Errorf("%s came back as %s", c.to, got)
		}
		if to.family() != c.family || from.compare(to) >= 0 {
			t.Errorf("%s: family %d, compared with %s: %d", c.to, to.family(), c.from, from.compare(to))
		}
	}
}

// TestUIDOrder: UUIDs sort as their text does; any other UID is told from its neighbours.
func TestUIDOrder(t *testing.T) {
	uuids := []types.UID{
		"00000000-0000-4000-8000-000000000000", "00000000-0001-4000-8000-000000000000",
		"0fffffff-0000-4000-8000-000000000000", "f0000000-0000-4000-8000-000000000000", "f0000000-0000-4001-8000-000000000000",
	}
	for i := 1; i < len(uuids); i++ {
		if uidBits(uuids[i-1]) >= uidBits(uuids[i]) {
			t.Errorf("%s does not come before %s", uuids[i-1], uuids[i])
		}
	}
	seen := map[uint64]types.UID{}
	for _, u := range []types.UID{"", "a", "b", "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "00000000_0000_4000_8000_000000000000"} {
		if other, ok := seen[uidBits(u)]; ok {
			t.Errorf("%q and %q are the same", u, other)
		}
		seen[uidBits(u)] = u
	}
}

// TestShape: families and policy survive being packed.
func TestShape(t *testing.T) {
	for _, c := range []struct {
		families []spec.Family
		policy   spec.DualStack
		want     []int
	}{
		{nil, spec.SingleStack, []int{0}},
		{nil, spec.PreferDualStack, []int{0}},
		{[]spec.Family{v6}, spec.PreferDualStack, []int{1}},
		{[]spec.Family{v6, v6}, spec.PreferDualStack, []int{1}},
		{[]spec.Family{v4, v6}, spec.RequireDualStack, []int{0, 1}},
		{[]spec.Family{v6, v4}, spec.PreferDualStack, []int{1, 0}},
		{[]spec.Family{v6, v4}, spec.SingleStack, []int{1}},
	} {
		s := shapeOf(&spec.Service{Families: c.families, Policy: c.policy})
		if got := slices.Collect(s.families()); !slices.Equal(got, c.want) || s.count() != len(c.want) {
			t.Errorf("%v: %v, want %v", c.families, got, c.want)
		}
		if s.policy() != c.policy {
			t.Errorf("policy %v came back as %v", c.policy, s.policy())
		}
	}
}
