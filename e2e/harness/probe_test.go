package harness

import (
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name, attempts string // one letter every 10 ms: o for success, x for failure
		lasted         time.Duration
		later          int
		fails          bool
	}{
		{name: "never", attempts: "ooooooo", fails: true},
		{name: "for ever", attempts: "ooxxxxx", fails: true},
		{name: "once", attempts: "ooxxxoooo", lasted: 30 * time.Millisecond},
		{name: "and later", attempts: "oxxoxoxooo", lasted: 20 * time.Millisecond, later: 2},
		{name: "not steady yet", attempts: "oxxooxoo", fails: true, lasted: 20 * time.Millisecond, later: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var attempts []attempt
			for i, c := range tc.attempts {
				attempts = append(attempts, attempt{began: time.Unix(0, 0).Add(time.Duration(i) * 10 * time.Millisecond), ok: c == 'o'})
			}
			got, err := silence(attempts, 3)
			if (err != nil) != tc.fails || got.Lasted != tc.lasted || got.Later != tc.later {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestSilent(t *testing.T) {
	for attempts, want := range map[string]time.Duration{ // o at the first try, r at a later one, x never
		"oooo": 0, "oorooo": 10 * time.Millisecond, "orrxoxoo": 30 * time.Millisecond, "oroxxoo": 20 * time.Millisecond, "ooxxx": 20 * time.Millisecond,
	} {
		var all []attempt
		for i, c := range attempts {
			a := attempt{began: time.Unix(0, 0).Add(time.Duration(i) * 10 * time.Millisecond), ok: c != 'x'}
			if c == 'r' {
				a.repeats = 1
			}
			all = append(all, a)
		}
		if got := silent(all); got != want {
			t.Errorf("%s: %v, want %v", attempts, got, want)
		}
	}
}
