package speaker

import "time"

const (
	// Changes of the caches may take one part in share of the time, but are never put off for longer than restAtMost.
	share      = 32
	restAtMost = 160 * time.Millisecond
	// allowance is the work that passes may do without a rest after a quiet time: a single Service that comes, in two or three
	// steps, is not kept waiting.
	allowance = 100 * time.Millisecond
)

// rest is the pause between passes. Work fills it, time drains it by one part in share, and what is in it beyond the allowance
// has to drain before the next pass.
type rest struct {
	work time.Duration
	at   time.Time
}

// after takes note of a pass and returns the pause that must follow.
func (r *rest) after(ended time.Time, took time.Duration) time.Duration {
	r.work = max(0, r.work-ended.Sub(r.at)/share) + took
	r.work = min(r.work, allowance+restAtMost/share)
	r.at = ended
	return max(0, (r.work-allowance)*share)
}
