package controllers

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

func TestWitness(t *testing.T) {
	clock := time.Unix(1000, 0)
	w := &witness{now: func() time.Time { clock = clock.Add(time.Second); return clock }}
	on := w.onServices()
	on.OnAdd(web(showing("192.0.2.1")), true)
	on.OnUpdate(web(showing("192.0.2.1", "192.0.2.2")), web(showing("192.0.2.2")))
	on.OnDelete(web(showing("192.0.2.2", "198.51.100.1")))
	on.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: web(showing("192.0.2.3"))})
	r, err := spec.ParseRange("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	at := func(ip string, second int64) alloc.Freed {
		return alloc.Freed{Addr: netip.MustParseAddr(ip), At: time.Unix(second, 0)}
	}
	got := w.addTo([]alloc.Freed{at("192.0.2.1", 2000), at("192.0.2.2", 3), at("192.0.2.9", 4)}, spec.Pool{Ranges: []spec.Range{r}})
	slices.SortFunc(got, func(a, b alloc.Freed) int { return a.Addr.Compare(b.Addr) })
	want := []alloc.Freed{at("192.0.2.1", 2000), at("192.0.2.2", 1002), at("192.0.2.3", 1004), at("192.0.2.9", 4)}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	for range 5 * seenAtMost {
		on.OnDelete(web(showing("192.0.2.7")))
	}
	if n := len(w.seen); n > 2*seenAtMost || n < seenAtMost {
		t.Errorf("%d are remembered", n)
	}
}
