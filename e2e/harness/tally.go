package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Tally is what became of the connections that a Probe opened.
type Tally struct {
	Connects int
	Failed   map[string]int // connections that could not be opened, by kind
	Slowest  time.Duration  // until one was open: of the order of a second where the first packet was lost
	Cut      map[string]int // requests that were not answered, or could not be sent any more, on connections that were open, by kind
}

// Lost counts the connections that could not be opened.
func (t Tally) Lost() int { return sum(t.Failed) }

// Resets counts the requests that were not answered.
func (t Tally) Resets() int { return sum(t.Cut) }

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func (t Tally) String() string {
	return fmt.Sprintf("%d connections, %d failed %v, slowest %d ms; %d requests cut off %v",
		t.Connects, t.Lost(), t.Failed, t.Slowest.Milliseconds(), t.Resets(), t.Cut)
}

// Tally counts the attempts begun after t.
func (p *Probe) Tally(t time.Time) Tally {
	n := Tally{Failed: map[string]int{}, Cut: map[string]int{}}
	for _, a := range p.after(t) {
		n.Connects++
		switch {
		case errors.Is(a.err, syscall.ECONNRESET):
			// It was open: who is reset before the other side has answered is told that it was refused.
			n.Cut["reset"]++
		case !a.ok:
			n.Failed[kindOf(a.err)]++
		case a.reply != nil:
			n.Cut[kindOf(a.reply)]++
		}
		if a.ok {
			n.Slowest = max(n.Slowest, a.took)
		}
	}
	return n
}

// kindOf names how a connection failed.
func kindOf(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "timeout"
	}
	return err.Error()
}
