package alloc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// many makes Services bench-N/svc-M, a hundred namespaces of them.
func many(n int, family spec.Family) []spec.Service {
	out := make([]spec.Service, n)
	for i := range out {
		out[i] = spec.Service{
			Key:      types.NamespacedName{Namespace: fmt.Sprintf("bench-%d", i%100), Name: fmt.Sprintf("svc-%d", i)},
			UID:      types.UID(fmt.Sprintf("%08x-%04x-4000-8000-000000000000", rand.Uint32(), i&0xffff)),
			Created:  epoch,
			Families: []spec.Family{family},
		}
	}
	return out
}

// full returns a table whose one pool has so many addresses in use, given out in a row.
func full(b *testing.B, ranges string, inUse int) (*Table, spec.Service) {
	b.Helper()
	p := newPool(b, "a", ranges)
	services := many(inUse+1, p.Ranges[0].Family())
	t := New()
	t.SetPools([]spec.Pool{p})
	for _, s := range services[:inUse] {
		if v := t.Claim(s); !v.Allocated {
			b.Fatal(v.Message)
		}
	}
	return t, services[inUse]
}

// BenchmarkAssign is one Service that comes and goes: Claim, then Release of the same (assign), or Release of any of them
// and Claim of the same again, on memory that no cache holds (replace). Beside it stands a Go map of the same size: one
// lookup of any address.
func BenchmarkAssign(b *testing.B) {
	for _, c := range []struct {
		name, ranges string
		inUse        int
	}{
		{"v4-16/full=0", "10.0.0.0/16", 0},
		{"v4-16/full=50", "10.0.0.0/16", 1 << 15},
		{"v4-16/full=99", "10.0.0.0/16", 64880},
		{"v4-16/full=99.99", "10.0.0.0/16", 65529},
		{"v4-12/full=0", "10.0.0.0/12", 0},
		{"v4-12/full=50", "10.0.0.0/12", 1 << 19},
		{"v4-12/full=99", "10.0.0.0/12", 1038090},
		{"v4-12/full=99.99", "10.0.0.0/12", 1048471},
		{"v6-64/used=100", "2001:db8::/64", 100},
		{"v6-64/used=10000", "2001:db8::/64", 10000},
		{"v6-64/used=1000000", "2001:db8::/64", 1000000},
	} {
		b.Run(c.name, func(b *testing.B) {
			t, s := full(b, c.ranges, c.inUse)
			t.Claim(s) // should the tables have to grow, they do it now
			t.Release(s.Key)
			b.Run("assign", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if v := t.Claim(s); !v.Allocated {
						b.Fatal(v.Message)
					}
					t.Release(s.Key)
				}
			})
			b.Run("replace", func(b *testing.B) { benchReplace(b, t, c.inUse) })
			b.Run("map-lookup", func(b *testing.B) { benchMap(b, c.inUse) })
		})
	}
}

// benchReplace lets a Service somewhere leave, and come back: what is free lies anywhere.
func benchReplace(b *testing.B, t *Table, inUse int) {
	if inUse == 0 {
		b.Skip("nobody is there to leave")
	}
	var all []spec.Service
	for id := range t.claims.all() {
		all = append(all, spec.Service{Key: t.key(id), UID: "again", Created: epoch, Families: []spec.Family{v4}})
	}
	for h := range t.holdings.all() {
		for i := range all {
			all[i].Families = []spec.Family{[]spec.Family{v4, v6}[t.holdings.at(h).family()]}
		}
		break
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		s := all[r.IntN(len(all))]
		t.Release(s.Key)
		if v := t.Claim(s); !v.Allocated {
			b.Fatal(v.Message)
		}
	}
}

func benchMap(b *testing.B, n int) {
	m := make(map[netip.Addr]uint32, n)
	base := numberOf(netip.MustParseAddr("2001:db8::"))
	addrs := make([]netip.Addr, n+1)
	for i := range addrs {
		addrs[i] = base.plus(uint64(i)).addr()
		if i < n {
			m[addrs[i]] = uint32(i)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	var sum uint32
	for b.Loop() {
		sum += m[addrs[r.IntN(len(addrs))]]
	}
	runtime.KeepAlive(sum)
}

// BenchmarkRecompute is Assign from nothing: no Service holds anything, or all do.
func BenchmarkRecompute(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		services := many(n, v4)
		pools := []spec.Pool{newPool(b, "a", "10.0.0.0/12")}
		b.Run(fmt.Sprintf("services=%d/held=0", n), func(b *testing.B) {
			for b.Loop() {
				Assign(pools, services)
			}
		})
		held := make([]spec.Service, n)
		for i, v := range Assign(pools, services) {
			held[i] = shows(services[i], v)
		}
		b.Run(fmt.Sprintf("services=%d/held=100", n), func(b *testing.B) {
			for b.Loop() {
				Assign(pools, held)
			}
		})
	}
}

// BenchmarkPoolEdit is SetPools with another range, while so many addresses are in use.
func BenchmarkPoolEdit(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("used=%d", n), func(b *testing.B) {
			t, _ := full(b, "10.0.0.0/12", n)
			pools := [][]spec.Pool{{newPool(b, "a", "10.0.0.0/12", "192.0.2.0/24")}, {newPool(b, "a", "10.0.0.0/12")}}
			i := 0
			for b.Loop() {
				t.SetPools(pools[i%2])
				i++
			}
		})
	}
}

// heapPerAddress is what the table itself needs, in bytes for each address in use; names and Services are the caller's.
func heapPerAddress(services []spec.Service, p spec.Pool) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t := New()
	t.SetPools([]spec.Pool{p})
	for _, s := range services {
		t.Claim(s)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	n := t.holdings.count
	runtime.KeepAlive(t)
	return float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(n)
}

// BenchmarkHeap reports it.
func BenchmarkHeap(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("used=%d", n), func(b *testing.B) {
			services, p := many(n, v4), newPool(b, "a", "10.0.0.0/8")
			for b.Loop() {
				b.ReportMetric(heapPerAddress(services, p), "bytes/address")
			}
			runtime.KeepAlive(services)
		})
	}
}

// TestHeap: below 100 bytes for each address in use, also at the sizes at which the tables have just grown.
func TestHeap(t *testing.T) {
	for _, n := range []int{8192, 16_500, 33_000, 65_000} {
		services := many(n, v4)
		if got := heapPerAddress(services, newPool(t, "a", "10.0.0.0/8")); got >= 100 {
			t.Errorf("%d addresses in use: %.1f bytes each", n, got)
		}
		runtime.KeepAlive(services)
	}
}
