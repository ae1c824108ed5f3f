package main

import (
	"runtime/debug"
	"testing"
)

func TestSaveMemory(t *testing.T) {
	const own = 70
	was := debug.SetGCPercent(own)
	t.Cleanup(func() { debug.SetGCPercent(was) })
	for _, tc := range []struct {
		gogc string
		want int
	}{{"", saving}, {"70", own}, {"off", own}} {
		t.Setenv("GOGC", tc.gogc)
		saveMemory()
		if got := debug.SetGCPercent(own); got != tc.want {
			t.Errorf("GOGC=%q: %d, want %d", tc.gogc, got, tc.want)
		}
	}
}
