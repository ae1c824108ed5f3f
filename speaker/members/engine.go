package members

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"
)

const (
	// idle is how long the engine sleeps when nothing is due.
	idle = time.Hour
	// What a member says of itself is said again, after pauses that double from firstRepeat gossip intervals on. Memberlist
	// says it four times within two intervals: to a network that is deaf for that long it would come with the next push/pull,
	// tens of seconds later.
	repeats     = 3
	firstRepeat = 5
)

// engine is the one goroutine that owns the facts. Each turn brings everything
// to what the callers want and the roster shows, whatever woke it.
type engine struct {
	g     *Group
	list  *memberlist.Memberlist
	ring  *memberlist.Keyring
	log   logr.Logger
	store *store
	asks  map[string]*question
	send  func(to memberlist.Address, msg []byte) error // one packet

	keys      *keys     // those on the ring
	spread    stamp     // of the own facts that were broadcast
	said      int       // how often the own state was said again
	again     time.Time // when it is to be said again; zero for never
	windowEnd time.Time // zero until the first peers are known
	settled   bool
}

// question is what is asked of a member whose facts are lacking.
type question struct {
	want  stamp
	next  time.Time
	delay time.Duration
}

func newEngine(g *Group, list *memberlist.Memberlist, ring *memberlist.Keyring) *engine {
	return &engine{
		g: g, list: list, ring: ring, log: g.opts.Log,
		store: newStore(), asks: map[string]*question{}, keys: g.keys.Load(),
		send: list.SendToAddress,
	}
}

func (e *engine) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.g.wake:
		case <-timer.C:
		case b := <-e.g.delegate.inbox:
			e.receive(b)
		case b := <-e.g.delegate.bulk:
			e.receive(b)
		}
		e.drain()
		timer.Reset(e.turn(time.Now()))
	}
}

// drain takes what else is waiting, so that a burst costs one turn.
func (e *engine) drain() {
	for range inboxSize {
		select {
		case b := <-e.g.delegate.inbox:
			e.receive(b)
		default:
			return
		}
	}
}

// turn returns the time until the next one is due.
func (e *engine) turn(now time.Time) time.Duration {
	e.installKeys()
	wait := e.advertise(now)
	alive := e.g.registrar.load()
	e.store.keep(alive)
	wait = min(wait, e.askForFacts(now, alive), e.settle(now, alive))
	e.show(alive)
	if e.settled {
		closeOnce(e.g.settled)
	}
	return wait
}

func (e *engine) receive(b []byte) {
	if err := e.dispatch(b[0], b[1:]); err != nil {
		e.g.metrics.drop(droppedMalformed)
	}
}

func (e *engine) dispatch(kind byte, body []byte) error {
	alive := e.g.registrar.load()
	switch kind {
	case kindPiece, kindWhole:
		p, err := decodePiece(body)
		if err == nil && e.accept(p, alive) && kind == kindPiece {
			e.g.delegate.broadcast(p)
		}
		return err
	case kindState:
		pieces, err := decodeState(body)
		for _, p := range pieces {
			e.accept(p, alive)
		}
		return err
	case kindAsk:
		name, err := decodeAsk(body)
		if err == nil {
			e.g.delegate.answer(name)
		}
		return err
	}
	return errMalformed
}

func (e *engine) accept(p piece, alive roster) bool {
	owner, ok := alive[p.owner]
	return ok && p.owner != e.g.opts.Name && e.store.accept(p, owner.meta.facts)
}

func (e *engine) installKeys() {
	want := e.g.keys.Load()
	if want == e.keys {
		return
	}
	e.keys = want
	if err := want.install(e.ring); err != nil {
		e.log.Error(err, "changing the group's keys failed")
		return
	}
	e.log.Info("the group's keys changed", "keys", len(*want))
}

// advertise tells the others what this member says of itself, if they have not
// been told, or not often enough.
func (e *engine) advertise(now time.Time) time.Duration {
	mine, raw := e.g.mine.Load(), e.g.meta()
	if e.told(raw) {
		return e.repeat(now)
	}
	if e.spread != mine.stamp && mine.stamp.sequence > 0 {
		e.spread = mine.stamp
		for _, p := range split(e.g.opts.Name, mine.stamp, mine.facts) {
			e.g.delegate.broadcast(p)
		}
		for _, name := range mine.first {
			e.g.delegate.answer(name)
		}
	}
	e.g.delegate.setMeta(raw)
	// The update is queued; waiting until it has gone out would hold up the
	// engine, so the timeout is an answer and no error.
	_ = e.list.UpdateNode(time.Nanosecond)
	if e.told(raw) {
		e.said, e.again = 0, now.Add(firstRepeat*e.g.timing.gossipInterval)
		return e.again.Sub(now)
	}
	// A refutation of this very moment has overtaken the update.
	return e.g.timing.gossipInterval
}

// repeat says the same again when it is time to. Who has heard it takes no notice; who has not asks for the facts.
func (e *engine) repeat(now time.Time) time.Duration {
	if e.said == repeats || e.again.IsZero() {
		return idle
	}
	if !now.Before(e.again) {
		_ = e.list.UpdateNode(time.Nanosecond)
		e.said++
		e.again = now.Add(firstRepeat * e.g.timing.gossipInterval << e.said)
	}
	return e.again.Sub(now)
}

// told compares with what memberlist itself took up.
func (e *engine) told(raw []byte) bool {
	return e.g.registrar.load()[e.g.opts.Name].raw == string(raw)
}

// askForFacts sends the questions that are due.
func (e *engine) askForFacts(now time.Time, alive roster) time.Duration {
	maps.DeleteFunc(e.asks, func(name string, a *question) bool {
		shown := alive[name].meta.facts
		return a.want != shown || e.store.current(name, shown)
	})
	wait := idle
	for name, n := range alive {
		if name == e.g.opts.Name || e.store.current(name, n.meta.facts) {
			continue
		}
		a := e.asks[name]
		if a == nil {
			a = &question{want: n.meta.facts, next: now.Add(e.grace(n.meta.facts)), delay: e.g.timing.retryMin}
			e.asks[name] = a
		}
		if !now.Before(a.next) {
			e.ask(name, n)
			a.next, a.delay = now.Add(jitter(a.delay)), min(2*a.delay, e.g.timing.retryMax)
		}
		wait = min(wait, a.next.Sub(now))
	}
	return wait
}

// grace is the time for facts to come by broadcast, if they are small enough to;
// otherwise just enough that a large group does not ask in the same moment.
func (e *engine) grace(s stamp) time.Duration {
	if s.size <= maxPieces*pieceBytes {
		return jitter(6 * e.g.timing.gossipInterval)
	}
	return jitter(e.g.timing.gossipInterval)
}

func (e *engine) ask(name string, n node) {
	to := memberlist.Address{Addr: n.addr.String(), Name: name}
	if err := e.send(to, encodeAsk(e.g.opts.Name)); err != nil {
		e.log.V(1).Info("asking for facts failed", "node", name, "reason", err.Error())
	}
}

// settle decides whether the join window is over.
func (e *engine) settle(now time.Time, alive roster) time.Duration {
	peers := e.g.peers.Load()
	if e.settled || peers == nil {
		return idle
	}
	if e.windowEnd.IsZero() {
		e.windowEnd = now.Add(e.g.opts.JoinWindow)
	}
	e.settled = !now.Before(e.windowEnd) || e.complete(*peers, alive)
	if e.settled {
		return idle
	}
	return e.windowEnd.Sub(now)
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// jitter spreads moments over the second half of a duration.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
