//go:build soak

package liveness

import (
	"testing"
	"time"
)

// TestSoakBusyIsNotDead is what the profiles' tolerance for busy nodes rests on.
func TestSoakBusyIsNotDead(t *testing.T) {
	for _, p := range []Profile{ProfileDefault, ProfileFast} {
		t.Run(string(p), func(t *testing.T) { busyIsNotDead(t, p, 10*time.Minute) })
	}
}
