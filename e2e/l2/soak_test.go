//go:build soak

package l2

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

var (
	tries = flag.Int("tries", 20, "how often each series of TestSoak… does it")
	busy  = flag.Duration("busy", 10*time.Minute, "how long TestSoakBusyMachine keeps the machine busy")
)

// series does something -tries times in a failover profile, each in a subtest of its own, and logs the table of its figures.
func series(t *testing.T, failover string, once func(*testing.T, *harness.Figures)) {
	t.Helper()
	profile(t, failover)
	f := harness.NewFigures()
	for i := range *tries {
		if !t.Run(fmt.Sprint(i+1), func(t *testing.T) { once(t, f) }) {
			f.Failure()
		}
	}
	t.Logf("%s, failover %s:\n%s", t.Name(), failover, f)
}

// profile has all speakers run with a failover profile, and puts the default suite's back when the test is over.
func profile(t *testing.T, failover string) {
	t.Helper()
	use := func(failover string) func(context.Context) error {
		return func(ctx context.Context) error {
			return errors.Join(install(ctx, stage, failover), atRest(ctx, stage))
		}
	}
	s := harness.NewScene(t, stage, patience)
	s.Later(patience, use("relaxed"))
	s.Must(use(failover)(s.Ctx))
}

// suffered ends the connections and takes down what became of them.
func (p *play) suffered(f *harness.Figures, what string) {
	p.Helper()
	t, lost := p.toll()
	f.Count(what+": connections that failed", t.Lost())
	f.Count(what+": requests reset", t.Resets())
	f.Count(what+": held connections lost", lost)
	f.Time(what+": the slowest connection", t.Slowest)
}

// TestSoakPowerCut: how soon the clients are told that another node has the addresses of one that lost power, and what
// that node's return does to connections.
func TestSoakPowerCut(t *testing.T) {
	for _, failover := range []string{"default", "fast"} {
		t.Run(failover, func(t *testing.T) {
			series(t, failover, func(t *testing.T, f *harness.Figures) {
				p := begin(t)
				p.mend(p.victim)
				cut := time.Now()
				p.Must(p.Lab.KillNode(p.Ctx, p.victim))
				now := p.moved()
				first, last := time.Duration(0), time.Duration(0)
				for _, a := range p.addrs {
					at, err := harness.Announced(p.told(p.quiet, a, cut), p.MAC(now[a]))
					p.Must(err)
					if took := at.Sub(cut); first == 0 || took < first {
						first = took
					}
					last = max(last, at.Sub(cut))
				}
				f.Time("power cut → first of the node's addresses told elsewhere", first)
				f.Time("power cut → last of the node's addresses told elsewhere", last)
				fresh := p.holdMore()
				p.powerOn()
				p.flow(50)
				p.movedOnce(now)
				f.Count("return: held connections lost", len(fresh.Lost(p.Ctx)))
				p.suffered(f, "power cut and return")
			})
		})
	}
}

// TestSoakKilled: how long nobody answers a host that asks, when a speaker is killed.
func TestSoakKilled(t *testing.T) {
	series(t, "default", func(t *testing.T, f *harness.Figures) {
		p := begin(t)
		killed := p.restart("KILL")
		p.nothingMoved()
		longest := time.Duration(0)
		for _, a := range p.addrs {
			longest = max(longest, harness.Silent(p.told(p.asker, a, killed), killed))
		}
		f.Time("speaker killed → a fresh request is answered", longest)
		p.suffered(f, "speaker killed")
	})
}

// TestSoakRestarts: what a restart does to connections: nothing.
func TestSoakRestarts(t *testing.T) {
	series(t, "default", func(t *testing.T, f *harness.Figures) {
		p := begin(t)
		p.replaceSpeaker()
		p.nothingMoved()
		p.suffered(f, "speaker restarted")
	})
}

// TestSoakRollingUpdates is TestSoakRestarts for all speakers, one after the other.
func TestSoakRollingUpdates(t *testing.T) {
	series(t, "default", func(t *testing.T, f *harness.Figures) {
		p := begin(t)
		p.rollOut()
		p.nothingMoved()
		p.suffered(f, "rolling update")
	})
}

// TestSoakDrains: what planned moves do to connections.
func TestSoakDrains(t *testing.T) {
	series(t, "default", func(t *testing.T, f *harness.Figures) {
		p := begin(t)
		p.drain()
		now := p.moved()
		p.undrain()
		p.Must(atRest(p.Ctx, stage))
		p.flow(50)
		p.movedOnce(now)
		p.suffered(f, "drain")
	})
}

// TestSoakReturns: the same there and back, for an address that prefers the node.
func TestSoakReturns(t *testing.T) {
	series(t, "default", func(t *testing.T, f *harness.Figures) {
		p := beginWith(t, preferred("immediate"))
		p.drain()
		now := p.moved()
		p.undrain()
		p.returned(now)
		p.suffered(f, "drain and return")
	})
}

// TestSoakAPIServerAwayForAMinute is TestNodeDiesWithoutTheAPIServer at length.
func TestSoakAPIServerAwayForAMinute(t *testing.T) {
	p := begin(t)
	p.dieUnseen(func() { p.wait(time.Minute) })
	p.toll()
}

func (p *play) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.Ctx.Done():
		p.Must(context.Cause(p.Ctx))
	}
}

// TestSoakBusyMachine: with all cores busy nothing moves, unless the machine itself stood still for as long as the profile
// forgives. A control tells: a ticker that takes down how late it is.
func TestSoakBusyMachine(t *testing.T) {
	const loops, forgiven = 4, 400 * time.Millisecond
	profile(t, "default")
	p := beginWithin(t, *busy+patience)
	done, late := make(chan struct{}), make(chan time.Duration, 1)
	for range loops {
		go func() {
			for {
				select {
				case <-done:
					return
				default:
				}
			}
		}()
	}
	go func() { late <- oversleep(done) }()
	p.wait(*busy)
	close(done)
	moves, worst := 0, <-late
	for _, a := range p.addrs {
		sights, err := p.asker.Sights(a, p.began)
		p.Must(err)
		moves += len(harness.Stations(sights)) - 1
	}
	t.Logf("%d moves in %s with %d busy loops; the control was late by %d ms at most", moves, *busy, loops, worst.Milliseconds())
	if moves > 0 && worst < forgiven/2 {
		t.Errorf("%d moves, and the machine did not stand still", moves)
	}
}

// oversleep returns by how much a ticker was late at most.
func oversleep(done <-chan struct{}) (worst time.Duration) {
	const every = 10 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-done:
			return worst
		case <-tick.C:
			now := time.Now()
			worst, last = max(worst, now.Sub(last)-every), now
		}
	}
}
