package members

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"
)

const (
	maxJoins      = 8    // attempts at a time; one to a dead node lasts until its timeout
	maxRemembered = 1024 // lost members that are tried although nobody names them
)

// joiner owns the search for speakers that should be members and are not. One
// joined member is enough to learn of all it knows, so a healed partition takes
// one attempt that succeeds, from either side.
type joiner struct {
	g     *Group
	log   logr.Logger
	join  func(name string, addr netip.AddrPort) error
	tries map[string]*try
	busy  int
	done  chan outcome

	peers  *map[string]netip.AddrPort // those last given
	before roster
	lost   map[string]netip.AddrPort // members that went since peers were given
}

type try struct {
	next  time.Time
	delay time.Duration
	busy  bool
	told  bool // the first failure is worth a line, not the hundredth
}

type outcome struct {
	name string
	err  error
}

func newJoiner(g *Group, list *memberlist.Memberlist) *joiner {
	return &joiner{
		g: g, log: g.opts.Log,
		join: func(name string, addr netip.AddrPort) error {
			_, err := list.Join([]string{name + "/" + addr.String()})
			return err
		},
		tries: map[string]*try{},
		done:  make(chan outcome, maxJoins),
		lost:  map[string]netip.AddrPort{},
	}
}

// run returns when the context has ended and no attempt is under way.
func (j *joiner) run(ctx context.Context) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-j.g.wakeJoin:
		case <-timer.C:
		case o := <-j.done:
			j.finish(o, time.Now())
		}
		if ctx.Err() == nil {
			timer.Reset(j.turn(time.Now()))
		}
	}
	for ; j.busy > 0; j.busy-- {
		<-j.done
	}
}

// turn starts the attempts that are due and returns the time until the next.
func (j *joiner) turn(now time.Time) time.Duration {
	missing := j.missing()
	maps.DeleteFunc(j.tries, func(name string, t *try) bool {
		_, ok := missing[name]
		return !ok && !t.busy
	})
	wait := idle
	for name, addr := range missing {
		t := j.tries[name]
		if t == nil {
			t = &try{next: now, delay: j.g.timing.retryMin}
			j.tries[name] = t
		}
		if t.busy {
			continue
		}
		if !now.Before(t.next) && j.busy < maxJoins {
			j.start(name, addr, t)
			continue
		}
		wait = min(wait, max(t.next.Sub(now), 0))
	}
	if j.busy == maxJoins {
		return idle // the next outcome wakes it
	}
	return wait
}

// missing are the speakers to join, with the addresses to try.
func (j *joiner) missing() map[string]netip.AddrPort {
	alive := j.g.registrar.load()
	if peers := j.g.peers.Load(); peers != j.peers {
		j.peers = peers
		clear(j.lost)
	}
	for name, n := range j.before {
		if _, ok := alive[name]; !ok && len(j.lost) < maxRemembered {
			j.lost[name] = n.addr
		}
	}
	j.before = alive
	missing := maps.Clone(j.lost)
	if j.peers != nil {
		maps.Copy(missing, *j.peers)
	}
	maps.DeleteFunc(missing, func(name string, _ netip.AddrPort) bool {
		_, ok := alive[name]
		return ok || name == j.g.opts.Name
	})
	return missing
}

func (j *joiner) start(name string, addr netip.AddrPort, t *try) {
	t.busy = true
	j.busy++
	go func() { j.done <- outcome{name, j.join(name, addr)} }()
}

func (j *joiner) finish(o outcome, now time.Time) {
	j.busy--
	t := j.tries[o.name]
	t.busy = false
	t.next, t.delay = now.Add(jitter(t.delay)), min(2*t.delay, j.g.timing.retryMax)
	if o.err == nil {
		return
	}
	j.g.metrics.joinFailures.Inc()
	if !t.told {
		t.told = true
		j.report(o)
	}
}

func (j *joiner) report(o outcome) {
	const message = "joining a speaker failed"
	if strings.Contains(o.err.Error(), noKeyFits) {
		j.log.Error(errOtherKey, message, "node", o.name)
		return
	}
	j.log.Info(message, "node", o.name, "reason", o.err.Error())
}
