package bgp

import "time"

// leastPause is the pause after a first failure.
const leastPause = 500 * time.Millisecond

// backoff paces the attempts at a session: each failure doubles the pause, up to a limit. A session that ends soon is a failure,
// too, or a router that accepts and at once shuts down would be dialled without end.
type backoff struct {
	failures int
}

// next returns the pause after an attempt whose session lasted for the given time, 0 if there was none. jitter, from 0 to
// below 1, takes up to a quarter off the pause, so that many nodes do not dial one router in step.
func (b *backoff) next(lasted, limit time.Duration, jitter float64) time.Duration {
	if lasted >= limit {
		b.failures = 0
	}
	pause := limit
	if b.failures < 16 {
		pause = min(leastPause<<b.failures, limit)
	}
	b.failures++
	return pause - time.Duration(float64(pause)/4*jitter)
}

func (b *backoff) reset() { b.failures = 0 }
