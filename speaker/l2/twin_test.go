package l2

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// TestTableTwin: after any sequence of changes the table holds what a plain map would.
func TestTableTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var got table
	want := map[netip.Addr]answer{}
	for range 300 {
		changes := map[netip.Addr]answer{}
		for range rng.IntN(50) {
			a := v4(rng.Uint32N(500))
			if rng.IntN(2) == 0 {
				a = v6(rng.Uint32N(500))
			}
			to := answer{role: role(rng.IntN(int(standing) + 1)), generation: rng.Uint64N(3)}
			changes[a] = to
			if want[a] = to; to.role == absent {
				delete(want, a)
			}
		}
		got.update(changes)
		all := maps.Collect(got.all)
		if !maps.Equal(want, all) {
			t.Fatalf("%v, want %v", all, want)
		}
		for i := range uint32(500) {
			if a := v6(i); got.find(a) != want[a] {
				t.Fatalf("%s: found %+v, want %+v", a, got.find(a), want[a])
			}
		}
	}
}

// TestWordsTwin: likewise for the sorted words of a filter, in which addresses may coincide.
func TestWordsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var got words
	has := map[netip.Addr]bool{}
	for range 500 {
		var came, went, all []netip.Addr
		for low := range uint32(40) {
			for _, a := range []netip.Addr{v4(low), v6(low)} {
				if rng.IntN(4) == 0 {
					if has[a] = !has[a]; has[a] {
						came = append(came, a)
					} else {
						went = append(went, a)
					}
				}
				if has[a] {
					all = append(all, a)
				}
			}
		}
		got = got.change(came, went)
		if !slices.Equal(got, wordsOf(all)) {
			t.Fatalf("%v, want %v", got, wordsOf(all))
		}
	}
}

// TestApplyTwin: whatever was applied before, and whatever was heard, the last Desired alone decides what runs, what is
// answered and what the filter hears.
func TestApplyTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	candidates := append(many(12), v6(1), v6(2), v6(1<<31), netip.MustParseAddr("224.0.0.1"))
	draw := func() Desired {
		d := entries(Entry{})
		for _, a := range candidates {
			e := Entry{Monitor: rng.IntN(2) == 0, Generation: rng.Uint64N(2)}
			switch rng.IntN(7) {
			case 0:
				continue
			case 1:
				e.As = map[string]MAC{[]string{"eth0", "eth1"}[rng.IntN(2)]: friendMAC}
			case 2:
				e.As = map[string]MAC{}
			case 3:
				e.Interfaces = []string{[]string{"eth0", "eth1", "gone0"}[rng.IntN(3)]}
			}
			d.Entries[a] = e
		}
		return d
	}
	nics := []Interface{nic("eth0", 1), nic("eth1", 2, noIPv4)}
	for range 20 {
		last := draw()
		fresh := &fakeSystem{interfaces: nics}
		var want string
		bubble(t, fresh, func(t *testing.T, a *Announcer) { want = state(t, a, fresh, last) })
		used := &fakeSystem{interfaces: nics}
		bubble(t, used, func(t *testing.T, a *Announcer) {
			for range rng.IntN(8) {
				applyAll(t, a, draw())
				if rng.IntN(3) == 0 {
					used.set(nics[:1]...)
					pass(settle)
					used.set(nics...)
					pass(settle)
				}
			}
			if diff := cmp.Diff(want, state(t, a, used, last)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// state applies d and returns all that can be seen of it.
func state(t *testing.T, a *Announcer, s *fakeSystem, d Desired) string {
	t.Helper()
	r := applyAll(t, a, d)
	out := fmt.Sprintln(r.Addresses, r.StandIns, r.Problems, r.Others)
	wires := s.live()
	slices.SortFunc(wires, func(v, w *fakeWire) int {
		return slices.Compare([]string{string(v.on.proto), fmt.Sprint(v.on.index)}, []string{string(w.on.proto), fmt.Sprint(w.on.index)})
	})
	for _, w := range wires {
		for x := range d.Entries {
			w.frames <- heard{asked: x}
		}
		synctest.Wait()
		slices.SortFunc(w.replied, func(a, b MAC) int { return slices.Compare(a[:], b[:]) })
		out += fmt.Sprintln(w.on, w.heard(), w.watched, w.replied)
	}
	return out
}
