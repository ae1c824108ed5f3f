package speaker

import (
	"time"

	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

const (
	// RestartWindow is how long addresses wait for a speaker that restarts, by default.
	RestartWindow = 10 * time.Second
	// holdDown is how long a speaker has been ready until it takes addresses from others that are well, by default.
	holdDown = 30 * time.Second
)

// presence makes out of the members' comings and goings what a plan asks about each node. It keeps the clocks that plans
// have not. Away lasts for a window at most.
//
//	                                           alive   ready   away
//	ready, its facts are here                    x       x
//	ready, and its node refuses probes                          x
//	starting, its facts are here                 x              x
//	starting, ready, its facts are not                          x
//	restarting: it said so                                      x
//	gone, and was one of those                                  x
//	gone, and its speaker answers probes                        x
//	draining                                     x
//	gone otherwise
type presence struct {
	window time.Duration
	traces map[string]*trace
	heals  uint64 // how often a member was back that had been ready all the time
}

// trace is what is remembered of one node's speaker.
type trace struct {
	known   bool // it has been a member
	there   bool // it is
	state   members.State
	joins   uint64
	current bool      // its facts are here
	fit     bool      // it was seen ready, with its facts, since it came or started
	until   time.Time // the end of the window; zero while none was opened
}

// standing is what a plan asks.
type standing struct{ alive, ready, away, draining bool }

func newPresence(window time.Duration) *presence {
	return &presence{window: window, traces: map[string]*trace{}}
}

// look takes down who is there. Verdicts are of all speakers about each node; mentioned are the nodes of which other
// speakers remember claims.
func (p *presence) look(now time.Time, roster []members.Member, verdicts map[string]liveness.State, mentioned []string) {
	for _, t := range p.traces {
		t.current = false
	}
	seen := make(map[string]bool, len(roster))
	for _, m := range roster {
		seen[m.Name] = true
		if p.of(m.Name).see(m) {
			p.heals++
		}
	}
	for name, t := range p.traces {
		t.there = seen[name]
		t.open(now, verdicts[name], p.window)
	}
	for _, name := range mentioned {
		if t := p.of(name); !t.known && t.until.IsZero() {
			t.until = now.Add(p.window)
		}
	}
}

func (p *presence) of(name string) *trace {
	t := p.traces[name]
	if t == nil {
		t = &trace{}
		p.traces[name] = t
	}
	return t
}

// see takes down a member. It tells whether the member is back from behind a partition: after a restart it would be
// starting.
func (t *trace) see(m members.Member) (healed bool) {
	came := !t.there || m.Joins != t.joins
	healed = t.known && came && m.State == members.Ready
	if came || m.State == members.Starting || m.State == members.Restarting {
		t.fit = false
	}
	t.known, t.state, t.joins, t.current = true, m.State, m.Joins, m.Current && m.Facts != nil
	t.fit = t.fit || m.State == members.Ready && t.current
	return healed
}

// open opens the window when the speaker is missed, and closes it when it is fit again. The group may miss one that was
// killed in the moment in which it is back: then probes are answered already.
func (t *trace) open(now time.Time, v liveness.State, window time.Duration) {
	refused, lives := v == liveness.Refused, v == liveness.Refused || v == liveness.Answering
	switch {
	case t.there && (t.state == members.Draining || t.fit && !refused):
		t.until = time.Time{}
	case t.until.IsZero() && (t.there || lives && t.state != members.Draining):
		t.until = now.Add(window)
	}
}

// standing of a node at a time, after look.
func (p *presence) standing(name string, now time.Time, v liveness.State) standing {
	t := p.traces[name]
	if t == nil {
		return standing{}
	}
	refused := v == liveness.Refused
	s := standing{away: now.Before(t.until)}
	switch {
	case !t.there || refused:
	case t.state == members.Draining:
		s.alive, s.draining = true, true
	case t.state == members.Starting:
		s.alive = t.current
	case t.state == members.Ready:
		s.alive, s.ready = t.fit, t.fit
	}
	return s
}

// next returns when a window ends, zero when none is open.
func (p *presence) next(now time.Time) (at time.Time) {
	for _, t := range p.traces {
		if now.Before(t.until) && (at.IsZero() || t.until.Before(at)) {
			at = t.until
		}
	}
	return at
}

// keep forgets the nodes that are not in the cluster any more.
func (p *presence) keep(nodes map[string]bool) {
	for name := range p.traces {
		if !nodes[name] {
			delete(p.traces, name)
		}
	}
}
