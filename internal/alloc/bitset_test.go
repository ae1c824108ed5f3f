package alloc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBitset compares with a plain set, over numbers that lie close together and far apart.
func TestBitset(t *testing.T) {
	for _, width := range []uint64{1, 64, 65, 5000, 1 << 19} {
		r := rand.New(rand.NewPCG(width, 1))
		var b bitset
		plain := map[uint64]bool{}
		for range 3000 {
			if i := r.Uint64N(width); r.IntN(2) == 0 {
				b.add(i)
				plain[i] = true
			} else {
				b.remove(i)
				delete(plain, i)
			}
			checkLeast(t, &b, plain)
		}
		for i, ok := b.least(); ok; i, ok = b.least() {
			b.remove(i)
			delete(plain, i)
			checkLeast(t, &b, plain)
		}
		if len(plain) > 0 {
			t.Fatalf("width %d: %d members were not found", width, len(plain))
		}
	}
}

func checkLeast(t *testing.T, b *bitset, plain map[uint64]bool) {
	t.Helper()
	var want []uint64
	for i := range plain {
		want = append(want, i)
	}
	got, ok := b.least()
	if ok != (len(want) > 0) || ok && got != slices.Min(want) {
		t.Fatalf("least is %d, %v of %d members", got, ok, len(want))
	}
}
