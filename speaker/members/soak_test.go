//go:build soak

package members

import (
	"testing"
	"time"
)

// TestSoakHundred is every profile at 3 and at 100 nodes, over several exchanges of everything.
func TestSoakHundred(t *testing.T) {
	for _, tt := range []struct {
		profile    Profile
		three, all time.Duration // until everybody knows of a death
		most       float64       // bytes a second
	}{
		{ProfileFast, time.Second, 2 * time.Second, 4000},
		{ProfileDefault, 1500 * time.Millisecond, 3 * time.Second, 2000},
		{ProfileRelaxed, 4 * time.Second, 8 * time.Second, 1000},
	} {
		t.Run(string(tt.profile), func(t *testing.T) {
			crowded(t, tt.profile, 3, 2*time.Minute, tt.three, tt.most)
			crowded(t, tt.profile, 100, 2*time.Minute, tt.all, tt.most)
		})
	}
}
