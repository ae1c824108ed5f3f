package l2

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func many(n int) (out []netip.Addr) {
	for i := range uint32(n) {
		out = append(out, v4(0x0a000000+i))
	}
	return out
}

// play takes from the waves until none is left and returns one line per part: time, socket, addresses.
func play(ws *waves, begin time.Time) string {
	var out strings.Builder
	for now := begin; len(*ws) > 0; {
		w := ws.first(now)
		if w.at.After(now) {
			now = w.at
		}
		fmt.Fprintf(&out, "%s on %d: %d\n", now.Sub(begin), w.on.index, len(w.part()))
		ws.advance(w, now)
	}
	return out.String()
}

func TestWaves(t *testing.T) {
	begin := time.Unix(0, 0)
	burst := func(on, n int) wave {
		return wave{on: slotKey{index: on}, addrs: many(n), at: begin, rounds: burstCount}
	}
	refresh := wave{on: slotKey{index: 9}, addrs: many(2*chunk + 1), at: begin, rounds: 1, pace: refreshPace}
	tests := []struct {
		name  string
		waves []wave
		want  string
	}{
		{"nothing", []wave{burst(1, 0)}, ""},
		{"a burst", []wave{burst(1, 3)}, "0s on 1: 3\n400ms on 1: 3\n800ms on 1: 3\n"},
		{"a refresh is paced", []wave{refresh}, "0s on 9: 64\n10ms on 9: 64\n20ms on 9: 1\n"},
		{
			"a small takeover does not wait for a large one", []wave{burst(1, 3*chunk), burst(2, 1)},
			"0s on 1: 64\n0s on 2: 1\n0s on 1: 64\n0s on 1: 64\n" +
				"400ms on 1: 64\n400ms on 2: 1\n400ms on 1: 64\n400ms on 1: 64\n" +
				"800ms on 1: 64\n800ms on 2: 1\n800ms on 1: 64\n800ms on 1: 64\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ws waves
			for _, w := range tt.waves {
				ws.add(w)
			}
			if diff := cmp.Diff(tt.want, play(&ws, begin)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWavesDropASocket(t *testing.T) {
	var ws waves
	for on := range 3 {
		ws.add(wave{on: slotKey{index: on}, addrs: many(1), rounds: 1})
	}
	if dropped := ws.drop(slotKey{index: 1}); len(dropped) != 1 || dropped[0].on.index != 1 {
		t.Errorf("dropped %v", dropped)
	}
	if got := play(&ws, time.Time{}); strings.Contains(got, "on 1") || strings.Count(got, "on") != 2 {
		t.Error(got)
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for n, middle := range map[int]time.Duration{1: minBackoff, 2: 2 * minBackoff, 4: 8 * minBackoff, 9: 25600 * time.Millisecond, 10: maxBackoff, 1000: maxBackoff} {
		for range 100 {
			if d := backoff(n); d < middle*3/4 || d > middle*5/4 {
				t.Fatalf("failure %d: %s, want about %s", n, d, middle)
			}
		}
	}
}
