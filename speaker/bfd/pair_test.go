package bfd

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// link joins two machines in virtual time. It loses, delays and so reorders packets.
type link struct {
	t     *testing.T
	rand  *rand.Rand
	ends  [2]*machine
	loss  [2]float64 // towards each end
	delay time.Duration

	now    instant
	flying flights
	number int
}

type flight struct {
	at     instant
	number int // keeps order among equals
	to     int
	b      []byte
}

type flights []flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].number < f[j].number
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

func newLink(t *testing.T, seed uint64, a, b Settings) *link {
	l := &link{t: t, rand: seeded(seed)}
	l.ends = [2]*machine{newMachine(0, a, 1, seeded(seed+1)), newMachine(0, b, 2, seeded(seed+2))}
	return l
}

func (l *link) send(from int, final bool) {
	to := 1 - from
	b := l.ends[from].encode(nil, final)
	if l.rand.Float64() < l.loss[to] {
		return
	}
	at := l.now
	if l.delay > 0 {
		at += time.Duration(l.rand.Int64N(int64(l.delay)))
	}
	l.number++
	heap.Push(&l.flying, flight{at, l.number, to, b})
}

func (l *link) next() instant {
	at := min(l.ends[0].next(), l.ends[1].next())
	if len(l.flying) > 0 {
		at = min(at, l.flying[0].at)
	}
	return at
}

// run goes on until a time, or until a condition holds, which it reports.
func (l *link) run(until instant, cond func() bool) bool {
	for steps := 0; ; steps++ {
		if cond != nil && cond() {
			return true
		}
		at := l.next()
		if at > until {
			l.now = until
			return false
		}
		if at > l.now {
			l.now, steps = at, 0
		} else if steps > 1000 {
			l.t.Fatalf("at %s packets chase each other: %+v %+v", l.now, *l.ends[0], *l.ends[1])
		}
		l.deliver()
		for i, m := range l.ends {
			for m.next() <= l.now {
				if m.expire(l.now).control {
					l.send(i, false)
				}
			}
		}
	}
}

func (l *link) deliver() {
	for len(l.flying) > 0 && l.flying[0].at <= l.now {
		f := heap.Pop(&l.flying).(flight)
		var p Packet
		raw, err := p.Parse(f.b)
		if err != nil {
			l.t.Fatal(err)
		}
		m := l.ends[f.to]
		if p.YourDiscr != 0 && p.YourDiscr != m.discr {
			continue
		}
		if final, err := m.receive(l.now, &p, raw); err == nil && final {
			l.send(f.to, true)
		}
	}
}

func (l *link) bothUp() bool {
	a, b := l.ends[0], l.ends[1]
	return a.state == Up && b.state == Up && a.remote.state == Up && b.remote.state == Up
}

// settled: up, all polls answered, and both reckon with the same intervals.
func (l *link) settled() bool {
	a, b := l.ends[0], l.ends[1]
	return l.bothUp() && !a.polling && !b.polling &&
		a.detection == time.Duration(b.set.Multiplier)*b.interval && b.detection == time.Duration(a.set.Multiplier)*a.interval
}

func randomSettings(r *rand.Rand) Settings {
	choose := func() time.Duration { return time.Duration(10+r.IntN(1500)) * ms }
	return Settings{MinTx: choose(), MinRx: choose(), Multiplier: uint8(2 + r.IntN(5))}
}

// TestPairConverges breaks a pair in every way at random, then heals the link: both must come up, with the same timers, and
// stay so. Seconds are bounded by the slow rate, not by luck: the healed link loses nothing.
func TestPairConverges(t *testing.T) {
	auths := append(everyAuth(), Auth{})
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := seeded(seed)
			auth := auths[r.IntN(len(auths))]
			a, b := randomSettings(r), randomSettings(r)
			a.Auth, b.Auth = auth, auth
			a.Passive = r.IntN(4) == 0
			l := newLink(t, seed, a, b)
			for range 1 + r.IntN(8) {
				l.disturb(r)
				l.run(l.now+time.Duration(r.IntN(5000))*ms, nil)
			}
			l.heal()
			l.run(l.now+20*time.Second, nil) // what was lost before may still take its toll
			if !l.run(l.now+60*time.Second, l.settled) {
				t.Fatalf("not settled after a minute:\n%+v\n%+v", *l.ends[0], *l.ends[1])
			}
			downs := l.ends[0].downs + l.ends[1].downs
			l.run(l.now+time.Minute, nil)
			if !l.settled() || l.ends[0].downs+l.ends[1].downs != downs {
				t.Fatalf("not stable:\n%+v\n%+v", *l.ends[0], *l.ends[1])
			}
		})
	}
}

func (l *link) disturb(r *rand.Rand) {
	m := l.ends[r.IntN(2)]
	switch r.IntN(5) {
	case 0:
		l.loss = [2]float64{r.Float64(), r.Float64()}
	case 1:
		l.loss[r.IntN(2)] = 1
	case 2:
		l.delay = time.Duration(r.IntN(30)) * ms
	case 3:
		set := randomSettings(r)
		set.Auth, set.Passive, set.AdminDown = m.set.Auth, m.set.Passive, r.IntN(3) == 0
		m.apply(l.now, set)
	case 4: // one side starts anew
		i := r.IntN(2)
		l.ends[i] = newMachine(l.now, l.ends[i].set, r.Uint32()|1, r)
	}
}

func (l *link) heal() {
	l.loss, l.delay = [2]float64{}, 0
	for _, m := range l.ends {
		set := m.set
		set.AdminDown = false
		m.apply(l.now, set)
	}
}

// TestPairChangesTimersWithoutFlap changes settings at random while up, over a link that loses one packet in fifty.
func TestPairChangesTimersWithoutFlap(t *testing.T) {
	for seed := range uint64(50) {
		r := seeded(seed)
		a, b := randomSettings(r), randomSettings(r)
		a.Multiplier, b.Multiplier = 6, 6
		l := newLink(t, seed, a, b)
		l.run(time.Minute, l.settled)
		l.loss = [2]float64{0.02, 0.02}
		for range 20 {
			m := l.ends[r.IntN(2)]
			set := randomSettings(r)
			set.Multiplier = 6
			m.apply(l.now, set)
			l.run(l.now+time.Duration(r.IntN(10000))*ms, nil)
		}
		l.loss = [2]float64{}
		if !l.run(l.now+time.Minute, l.settled) || l.ends[0].downs+l.ends[1].downs > 0 {
			t.Fatalf("seed %d:\n%+v\n%+v", seed, *l.ends[0], *l.ends[1])
		}
	}
}

func TestPairDetectsACutInTime(t *testing.T) {
	for seed := range uint64(200) {
		r := seeded(seed)
		l := newLink(t, seed, randomSettings(r), randomSettings(r))
		if !l.run(time.Minute, l.settled) {
			t.Fatal("not up")
		}
		l.run(l.now+time.Duration(r.IntN(3000))*ms, nil)
		cut := l.now
		l.loss = [2]float64{1, 1}
		want := [2]time.Duration{l.ends[0].detection, l.ends[1].detection}
		if !l.run(cut+time.Hour, func() bool { return l.ends[0].state != Up && l.ends[1].state != Up }) {
			t.Fatal("nobody noticed")
		}
		for i, m := range l.ends {
			if m.cause != CauseDetectionExpired || m.silence != want[i] || m.since-cut > want[i] || m.since-cut < want[i]/2 {
				t.Errorf("seed %d: %s after %s, the detection time is %s", seed, m.cause, m.since-cut, want[i])
			}
		}
	}
}

// TestPairOneWay: a cut in one direction takes both sides down, the one that still hears by what it hears.
func TestPairOneWay(t *testing.T) {
	l := newLink(t, 1, settings(), settings())
	l.run(time.Minute, l.settled)
	l.loss[0] = 1
	l.run(l.now+time.Second, nil)
	if a, b := l.ends[0], l.ends[1]; a.cause != CauseDetectionExpired || b.cause != CauseNeighborDown {
		t.Errorf("%q and %q", a.cause, b.cause)
	}
}

var day = flag.Duration("bfd.day", 24*time.Hour, "simulated time of TestPairADay")

// TestPairADay is a simulated day with one packet in a hundred lost and multiplier 5: no session may go down. Five lost in a row
// are to be expected once in ten thousand million packets, and the seeds are fixed.
func TestPairADay(t *testing.T) {
	set := Settings{MinTx: 300 * ms, MinRx: 300 * ms, Multiplier: 5}
	l := newLink(t, 7, set, set)
	if !l.run(time.Minute, l.settled) {
		t.Fatal("not up")
	}
	l.loss, l.delay = [2]float64{0.01, 0.01}, 20*ms
	l.run(*day, nil)
	if !l.bothUp() || l.ends[0].downs+l.ends[1].downs > 0 {
		t.Errorf("downs: %d and %d", l.ends[0].downs, l.ends[1].downs)
	}
	if l.number < int(*day/(300*ms)) {
		t.Errorf("only %d packets", l.number)
	}
}
