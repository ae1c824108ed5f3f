package l2

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	// A takeover is announced burstCount times: first at once, then after each burstGap. RFC 4861 §7.2.6 allows three.
	burstCount = 3
	burstGap   = 400 * time.Millisecond
	// refreshEvery (±25 %) is how often everything is announced again, for neighbours that missed or lost it.
	refreshEvery = 3 * time.Minute
	// chunk is how many addresses are announced before the owner looks at its other work.
	chunk = 64
	// refreshPace is the pause between the chunks of a refresh, for which nobody is waiting.
	refreshPace = 10 * time.Millisecond
	// An address is asked for probeCount times, probeGap apart, and free if nobody has answered one probeGap after the last
	// (RFC 5227 §2.1.1 takes seconds, for which nobody who creates a Service would wait).
	probeCount = 3
	probeGap   = 100 * time.Millisecond
	// An address that somebody has is asked for again after minRetry, doubling up to maxRetry (RFC 5227 §2.1.1's
	// RATE_LIMIT_INTERVAL), in either case plus up to a third.
	minRetry = time.Second
	maxRetry = time.Minute
	// defendEvery is RFC 5227 §1.1's DEFEND_INTERVAL.
	defendEvery = 10 * time.Second
	// rivalMemory is how long another station is reported after it was last heard to have an address of ours.
	rivalMemory = 5 * time.Minute
	// claimsRoom is how many claims may wait for the owner; more get lost.
	claimsRoom = 64
	// Failed sockets are opened again after minBackoff, doubling up to maxBackoff (±25 %).
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
	// settle is the least time between two scans; the first after a pause comes at once.
	settle = 50 * time.Millisecond
)

// spread varies d by up to a quarter in either direction, so that nodes do not act in step.
func spread(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// backoff returns the pause after the n-th failure in a row, n ≥ 1.
func backoff(n int) time.Duration {
	d := minBackoff
	for ; n > 1 && d < maxBackoff; n-- {
		d *= 2
	}
	return spread(min(d, maxBackoff))
}

// retryPause returns the pause after the n-th conflict in a row, n ≥ 1.
func retryPause(n int) time.Duration {
	d := minRetry
	for ; n > 1 && d < maxRetry; n-- {
		d *= 2
	}
	d = min(d, maxRetry)
	return d + rand.N(d/3)
}

// earlier returns the earlier of two times that are set, or the one that is.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wave is a set of addresses to be announced, or probed, on one socket a number of times.
type wave struct {
	on     slotKey
	addrs  []netip.Addr
	at     time.Time     // of the next part of the present round
	rounds int           // left, the present one included
	done   int           // addresses of the present round that were announced
	pace   time.Duration // between the parts of a round
	gap    time.Duration // between the rounds; zero means burstGap

	probing bool

	failures int // to send the next part, in a row
}

// waves are few: one per takeover in the last second, and one per socket while it is refreshed.
type waves []*wave

func (ws *waves) add(w wave) *wave {
	if len(w.addrs) > 0 {
		*ws = append(*ws, &w)
	}
	return &w
}

// drop forgets, and returns, everything that was to be announced on a socket.
func (ws *waves) drop(on slotKey) (dropped []*wave) {
	*ws = slices.DeleteFunc(*ws, func(w *wave) bool {
		if w.on == on {
			dropped = append(dropped, w)
		}
		return w.on == on
	})
	return dropped
}

// first returns the wave whose turn is next, or nil: of those that are due the one least far along, so that a takeover
// need not wait for another one's thousands of addresses, else the earliest.
func (ws waves) first(now time.Time) *wave {
	var next *wave
	for _, w := range ws {
		if next == nil || w.before(next, now) {
			next = w
		}
	}
	return next
}

func (w *wave) before(o *wave, now time.Time) bool {
	if !w.at.After(now) && !o.at.After(now) {
		return w.done < o.done
	}
	return w.at.Before(o.at)
}

// part returns the addresses to announce now.
func (w *wave) part() []netip.Addr { return w.addrs[w.done:min(w.done+chunk, len(w.addrs))] }

// advance moves on after the part was announced: to the next part or round, or out of the list after the last.
func (ws *waves) advance(w *wave, now time.Time) {
	w.failures, w.done, w.at = 0, w.done+len(w.part()), now.Add(w.pace)
	if w.done < len(w.addrs) {
		return
	}
	w.rounds, w.done, w.at = w.rounds-1, 0, now.Add(cmp.Or(w.gap, burstGap))
	if w.rounds == 0 {
		*ws = slices.DeleteFunc(*ws, func(o *wave) bool { return o == w })
	}
}

// postpone has the part tried again later: a link that has just come up may not send yet.
func (w *wave) postpone(now time.Time) {
	w.failures++
	w.at = now.Add(backoff(w.failures))
}
