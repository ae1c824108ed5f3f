package bgp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// peer keeps one router told. Its goroutine owns all of this but status, which others read; what waits for the network is
// in a link, a goroutine of its own.
type peer struct {
	name string
	log  logr.Logger
	env  *environment
	d    *daemon

	wants  chan wish // has room for one
	done   chan struct{}
	status atomic.Pointer[Status]

	want    Peer
	session Session // want's, with defaults
	retry   *time.Timer
	pace    backoff
	silence silence
	// known: the router has had a session with this process, which is no restart to it any more.
	known bool
	live  *attempt
	// search looks for the router while the peer is Waiting; nil while nobody does.
	search *search
}

// attempt is a link that runs.
type attempt struct {
	session     Session
	cancel      context.CancelFunc
	meetings    chan meeting
	established chan struct{}
	ended       chan error
	// hangUp has room for the one word with which the session is to end, and hungUp says that it was used.
	hangUp chan farewell
	hungUp bool
	// deadline ends it the hard way; set once it is asked to end.
	deadline <-chan time.Time

	agreed *opened
	hops   hops
	since  time.Time // of being established
	// cause, if set, is why this end closed it, and word what the router is told then.
	cause error
	word  *atomic.Pointer[wire.Notification]
}

// meeting is the moment at which both ends have agreed and the link waits for the routes.
type meeting struct {
	opened
	reply chan error
}

// wish is a peer as it should be, and where to say that it has been heard.
type wish struct {
	peer Peer
	// leave: the peer is no longer wanted at all.
	leave bool
	heard chan struct{}
}

// environment is what all peers share.
type environment struct {
	log     logr.Logger
	metrics *metrics
	doors   *doors
	changed func()
}

func newPeer(name string, env *environment, d *daemon) *peer {
	p := &peer{
		name: name, log: env.log.WithValues("peer", name), env: env, d: d,
		wants: make(chan wish, 1), done: make(chan struct{}), retry: time.NewTimer(time.Hour),
	}
	p.retry.Stop()
	p.status.Store(&Status{Since: time.Now()})
	return p
}

// run works until ctx ends or a wish says to leave. Either way the session ends as it should, within partingTime.
func (p *peer) run(ctx context.Context) {
	defer close(p.done)
	defer p.retry.Stop()
	done := ctx.Done()
	leaving := false
	for !leaving || p.live != nil {
		var a attempt // one that never says anything
		if p.live != nil {
			a = *p.live
		}
		select {
		case <-done:
			done, leaving = nil, true
			p.restart()
			p.look()
		case w := <-p.wants:
			leaving = leaving || w.leave
			p.hear(w)
			p.look()
			close(w.heard)
		case <-p.retry.C:
			p.begin(ctx)
		case m := <-a.meetings:
			m.reply <- p.meet(m.opened)
		case <-a.established:
			p.establish()
		case err := <-a.ended:
			p.end(ctx, err)
		case <-a.deadline:
			p.insist()
		case router := <-p.search.finds():
			p.meets(router)
		}
	}
	p.search.end()
	p.empty()
}

// hear takes a wish over.
func (p *peer) hear(w wish) {
	before, failures := p.session, p.want.Failures
	if w.leave {
		w.peer = Peer{Session: p.want.Session, Mode: Down, Reason: "peer removed", Failures: failures}
	}
	p.want, p.session = w.peer, w.peer.Session.settings()
	fresh := before.binding() != p.session.binding()
	failed := w.peer.Failures > failures
	err := p.session.check()
	switch {
	case err != nil:
		p.close(because(ReasonInvalid, err), "settings changed")
	case failed && p.live != nil && !p.live.since.IsZero():
		p.lose(errors.New(p.want.Failure))
	case p.want.Mode.none():
		reason := p.want.Reason
		if reason == "" {
			reason = "administratively down"
		}
		p.close(because(ReasonDown, errors.New(reason)), reason)
	case fresh && p.live != nil:
		p.change()
	case p.live == nil && (fresh || p.status.Load().State == Idle):
		p.pace.reset()
		p.become(Connecting, p.waiting(), "")
		p.retry.Reset(0)
	case p.live != nil && p.live.agreed != nil:
		p.tell()
	}
}

func (p *peer) waiting() Reason {
	if p.session.Listen {
		return ReasonWaiting
	}
	return ReasonNone
}

// begin starts a link.
func (p *peer) begin(ctx context.Context) {
	if p.live != nil || p.want.Mode.none() {
		return
	}
	s := p.session
	if err := p.d.open(ctx, s); err != nil {
		p.end(ctx, because(ReasonInternal, err))
		return
	}
	lctx, cancel := context.WithCancel(context.Background())
	a := &attempt{
		session: s, cancel: cancel, meetings: make(chan meeting), established: make(chan struct{}), ended: make(chan error, 1),
		word: new(atomic.Pointer[wire.Notification]), hangUp: make(chan farewell, 1),
	}
	p.live = a
	d := p.d
	l := link{
		session: s, restarted: !p.known,
		inner: func(ctx context.Context) (net.Conn, error) { return dialDaemon(ctx, d.listen, d.neighbour, d.key) },
		outer: p.way(s),
		count: p.env.metrics.counter(p.name),
		opened: func(o opened) error {
			reply := make(chan error, 1)
			a.meetings <- meeting{o, reply}
			return <-reply
		},
		established: func() { a.established <- struct{}{} },
		word:        a.word.Load,
		took:        d.took,
		hangUp:      a.hangUp,
	}
	p.env.metrics.attempts.WithLabelValues(p.name).Inc()
	go func() {
		defer cancel()
		a.ended <- l.run(lctx)
	}()
}

// way returns how the connection to the router comes about.
func (p *peer) way(s Session) func(context.Context) (net.Conn, error) {
	if s.Listen {
		return func(ctx context.Context) (net.Conn, error) { return p.env.doors.await(ctx, s) }
	}
	return func(ctx context.Context) (net.Conn, error) {
		if s.Interface != "" {
			return dialUnnumbered(ctx, s)
		}
		return dialRouter(ctx, s, s.Address)
	}
}

// meet gives GoBGP the routes for a session that both ends have agreed to.
func (p *peer) meet(o opened) error {
	a := p.live
	if a.deadline != nil {
		return errors.New("the session is no longer wanted")
	}
	a.agreed = &o
	p.tell()
	return nil
}

// tell makes GoBGP announce what is wanted, as far as this session can carry it.
func (p *peer) tell() {
	a := p.live
	if a.deadline != nil {
		return
	}
	local := a.agreed.local.Addr()
	a.hops = settle(p.session, local, siblings(local), a.agreed.agreed)
	routes, withheld := a.hops.tell(p.want.Routes, p.want.Mode == Draining)
	err := p.d.sync(context.Background(), routes, a.session)
	if err != nil {
		p.log.Error(err, "GoBGP refuses routes")
	}
	for prefix, s := range routes {
		if have, ok := p.d.rib[prefix]; !ok || !have.equal(s) {
			withheld[prefix] = ReasonAttributes
		}
	}
	if p.status.Load().State == Established {
		p.publish(p.established(withheld))
	}
	a.agreed.withheld = withheld
}

func (p *peer) establish() {
	p.known = true
	if p.live.deadline != nil {
		return
	}
	p.live.since = time.Now()
	s := p.established(p.live.agreed.withheld)
	p.log.Info("BGP session established", "address", s.Remote.Addr().String())
	p.publish(s)
}

// established describes the session that is up.
func (p *peer) established(withheld map[netip.Prefix]Reason) Status {
	o := p.live.agreed
	return Status{
		State: Established, Since: p.live.since, Flaps: p.status.Load().Flaps,
		PeerASN: o.agreed.PeerASN, RouterID: o.router.RouterID, Local: o.local, Remote: o.remote,
		HoldTime: time.Duration(o.agreed.HoldTime) * time.Second, Families: o.agreed.Families, Graceful: o.agreed.Graceful,
		Announced: len(p.d.rib), Withheld: withheld,
	}
}

// partingTime is how long a session may take to end with a last word.
const partingTime = 2 * time.Second

// close ends the session, if there is one, with its routes withdrawn first and a text for the router's operator.
func (p *peer) close(why error, text string) {
	p.retry.Stop()
	if p.live == nil {
		reason, message := reasonOf(why)
		p.become(Idle, reason, message)
		return
	}
	p.part(why, text, false)
}

// change ends the session because another is wanted in its place.
func (p *peer) change() {
	p.pace.reset()
	p.part(because(ReasonChanged, errors.New("the session's settings have changed")), "settings changed", true)
}

// lose ends the session because the path to the router has failed. Nothing is withdrawn: the router drops the routes with
// the session, if it hears of that at all.
func (p *peer) lose(why error) {
	a := p.live
	if a.deadline != nil {
		return
	}
	a.cause = because(ReasonPathFailed, why)
	a.deadline = time.After(partingTime)
	a.hangUp <- farewell{word: wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseBFDDown}}
	a.hungUp = true
	reason, message := reasonOf(a.cause)
	state := Connecting
	if p.want.Mode.none() {
		state = Idle
	}
	p.become(state, reason, message)
}

// restart ends the session because this process ends. A router that keeps the routes meanwhile hears nothing.
func (p *peer) restart() {
	p.retry.Stop()
	graceful := p.want.Mode == Up
	p.want.Mode = Down
	if p.live != nil {
		p.part(because(ReasonDown, errors.New("the speaker stops")), "speaker stops", graceful)
	}
}

// part asks the link to end. graceful: the router may keep the routes if that was agreed, else they are withdrawn.
func (p *peer) part(why error, text string, graceful bool) {
	a := p.live
	if a.deadline != nil {
		a.cause = why
		return
	}
	a.cause = why
	a.deadline = time.After(partingTime)
	up := a.agreed != nil && !a.since.IsZero()
	if !up || graceful && a.agreed.agreed.Graceful == a.agreed.agreed.Families {
		a.cancel()
		return
	}
	a.word.Store(wire.Shutdown(text))
	err := p.d.sync(context.Background(), nil, a.session)
	if err == nil {
		err = p.d.shutdown(context.Background(), text)
	}
	a.deadline = time.After(partingTime) // of many routes, taking them back may have taken longer than that
	if err != nil {
		p.log.Error(err, "Ending the session the hard way")
		a.cancel()
	}
}

// insist ends a session that has not ended in time. If GoBGP has not come to the last word, for it still withdraws routes or
// the router is slow to read, the word goes before the rest: closed without it, a router that keeps routes over a restart
// would keep these.
func (p *peer) insist() {
	a := p.live
	word := a.word.Load()
	if word == nil || a.hungUp {
		a.cancel()
		return
	}
	a.hangUp <- farewell{word: *word, whole: true}
	a.hungUp, a.deadline = true, time.After(partingTime)
}

// end takes note that the link has ended, and of why.
func (p *peer) end(ctx context.Context, why error) {
	lasted := time.Duration(0)
	cause := why
	flaps := p.status.Load().Flaps
	if a := p.live; a != nil {
		if !a.since.IsZero() {
			lasted = time.Since(a.since)
			flaps++
		}
		if a.cause != nil {
			cause = a.cause
		}
	}
	asked := p.live != nil && p.live.cause != nil
	p.live = nil
	if err := p.d.close(context.Background()); err != nil {
		p.log.Error(err, "Removing a neighbour from GoBGP")
	}
	reason, message := reasonOf(p.silence.told(cause, p.session.ConnectTime))
	p.note(lasted > 0, cause, reason)
	state := Connecting
	if p.want.Mode.none() || p.session.check() != nil || ctx.Err() != nil {
		state = Idle
	}
	p.publishFailure(state, reason, message, flaps)
	switch {
	case state == Idle:
	case asked, p.session.Listen && lasted > 0:
		p.retry.Reset(0)
	default:
		p.retry.Reset(p.pace.next(lasted, p.session.ConnectTime, rand.Float64()))
	}
}

// note logs and counts a failure; the same one over and over is of interest once. told is the reason that the status gives.
func (p *peer) note(was bool, cause error, told Reason) {
	reason, message := reasonOf(cause)
	p.env.metrics.failures.WithLabelValues(p.name, string(reason)).Inc()
	level := 1
	if was || p.status.Load().Reason != told {
		level = 0
	}
	p.log.V(level).Info("BGP session is not up", "reason", message)
}

func (p *peer) publishFailure(state State, reason Reason, message string, flaps int) {
	s := *p.status.Load()
	since := s.Since
	if s.State != state {
		since = time.Now()
	}
	p.publish(Status{State: state, Since: since, Reason: reason, Message: message, Flaps: flaps, Remote: p.search.result()})
}

func (p *peer) become(state State, reason Reason, message string) {
	p.publishFailure(state, reason, message, p.status.Load().Flaps)
}

func (p *peer) publish(s Status) {
	before := p.status.Swap(&s)
	p.env.metrics.show(p.name, s)
	if before.State != s.State || before.Reason != s.Reason || before.Message != s.Message || before.Announced != s.Announced ||
		before.Remote != s.Remote || len(before.Withheld) != len(s.Withheld) {
		p.env.changed()
	}
}

// empty makes the daemon ready for another peer.
func (p *peer) empty() {
	if err := p.d.sync(context.Background(), nil, p.session); err != nil {
		p.log.Error(err, "Emptying a BGP server")
	}
}
