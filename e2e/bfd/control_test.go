package bfd

import (
	"sync"
	"testing"
	"time"
)

// control is a plain ticker that notes when it overslept: then the machine gave this process no CPU, and a session that went down
// at that time says nothing of BFD.
type control struct {
	mu      sync.Mutex
	stalls  []time.Time
	longest time.Duration
}

// stall is the pause from which on a session at 50 ms × 3 may suffer: two packets in a row are late by that.
const stall = 75 * ms

func startControl(t *testing.T) *control {
	t.Helper()
	c, stop, ended := &control{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(5 * ms)
		defer ticker.Stop()
		for before := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			now := time.Now()
			c.note(now, now.Sub(before))
			before = now
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
	return c
}

func (c *control) note(now time.Time, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest = max(c.longest, pause)
	if pause >= stall {
		c.stalls = append(c.stalls, now)
	}
}

// explains tells whether the machine stood still around a time.
func (c *control) explains(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stalls {
		if s.Sub(at).Abs() < time.Second {
			return true
		}
	}
	return false
}

func (c *control) counts() (stalls int, longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stalls), c.longest
}
