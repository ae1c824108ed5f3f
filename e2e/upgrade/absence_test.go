package upgrade

import (
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// absence reads for how long others answered in the stead of a station, from the first such answer until its next own one. When
// the address leaves it, that ends with the first word of another station.
func absence(sights []harness.Sight, mac string) (longest time.Duration, left bool) {
	var since time.Time
	for _, s := range sights {
		left = s.MAC != mac
		away := left || harness.StoodIn(s)
		if away && since.IsZero() {
			since = s.At
		}
		if left || !away && !since.IsZero() {
			longest, since = max(longest, s.At.Sub(since)), time.Time{}
		}
		if left {
			break
		}
	}
	return longest, left
}

func TestAbsence(t *testing.T) {
	const a, b = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
	own, standIn, other := harness.Sight{MAC: a, From: a}, harness.Sight{MAC: a, From: b}, harness.Sight{MAC: b, From: b}
	for name, c := range map[string]struct {
		sights  []harness.Sight // one each second
		longest int
		left    bool
	}{
		"nothing":                 {},
		"always there":            {[]harness.Sight{own, own}, 0, false},
		"away once":               {[]harness.Sight{own, standIn, standIn, own, own}, 2, false},
		"away twice":              {[]harness.Sight{standIn, own, standIn, standIn, standIn, own}, 3, false},
		"a last word while going": {[]harness.Sight{own, standIn, own, standIn, own}, 1, false},
		"left after a while":      {[]harness.Sight{own, standIn, standIn, other, own}, 2, true},
		"left at once":            {[]harness.Sight{own, other}, 0, true},
	} {
		var at time.Time
		for i := range c.sights {
			at = at.Add(time.Second)
			c.sights[i].At = at
		}
		longest, left := absence(c.sights, a)
		if longest != time.Duration(c.longest)*time.Second || left != c.left {
			t.Errorf("%s: %v, left %t, want %d s, %t", name, longest, left, c.longest, c.left)
		}
	}
}
