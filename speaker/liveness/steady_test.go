package liveness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestBusyIsNotDead is a short TestSoakBusyIsNotDead.
func TestBusyIsNotDead(t *testing.T) { busyIsNotDead(t, ProfileDefault, 5*time.Second) }

// busyIsNotDead has three nodes probe each other while four busy loops want two cores. Nobody may be called silent that
// a plain ticker in this process, which competes for the cores as the nodes do, has not seen the machine sleep for.
func busyIsNotDead(t *testing.T, p Profile, lasts time.Duration) {
	l := newLAN(t, 3)
	var nodes []*process
	for i := range 3 {
		nodes = append(nodes, l.node(i, false, p, 0, 1, 2))
	}
	for i, n := range nodes {
		for k := range nodes {
			if k != i {
				n.sees(fmt.Sprint("n", k), Answering)
			}
		}
	}
	for range 4 {
		busy(t)
	}
	pauses := control(lasts)
	interval, _ := p.interval()
	tolerance := misses * interval
	verdicts, unexplained := 0, 0
	for _, n := range nodes {
		for _, l := range n.lines() {
			for name, v := range l.Verdicts {
				if v.State != Silent && v.State != Refused || !v.Since.After(l.At.Add(-interval)) {
					continue
				}
				verdicts++
				if slept := pauses.within(v.Since.Add(-2*tolerance), v.Since); slept < tolerance/2 {
					unexplained++
					t.Errorf("%s calls %s %s at %s; the control overslept %s", l.Node, name, v.State, v.Since, slept)
				}
			}
		}
	}
	t.Logf("%s, %s: %d false verdicts, %d unexplained; the control overslept %d times, %s at most", p, lasts, verdicts, unexplained, len(pauses), pauses.longest())
}

// busy starts a process that wants a core.
func busy(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	c := exec.CommandContext(context.Background(), self)
	c.Env = append(os.Environ(), busyEnv+"=1")
	must(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
}

// oversleeps are the times, and by how much, a plain ticker came late by more than a tick.
type oversleeps map[time.Time]time.Duration

const controlTick = 10 * time.Millisecond

func control(lasts time.Duration) oversleeps {
	pauses := oversleeps{}
	timer := time.NewTimer(controlTick)
	defer timer.Stop()
	for began, last := time.Now(), time.Now(); time.Since(began) < lasts; {
		<-timer.C
		timer.Reset(controlTick)
		now := time.Now()
		if late := now.Sub(last) - controlTick; late > controlTick {
			pauses[now] = late
		}
		last = now
	}
	return pauses
}

// within adds up what was overslept and ended between two moments, or a little later.
func (o oversleeps) within(from, to time.Time) (sum time.Duration) {
	for at, late := range o {
		if at.After(from) && at.Before(to.Add(10*controlTick)) {
			sum += late
		}
	}
	return sum
}

func (o oversleeps) longest() (most time.Duration) {
	for _, late := range o {
		most = max(most, late)
	}
	return most
}
