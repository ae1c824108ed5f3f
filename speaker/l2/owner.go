package l2

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// slotKey names a place for a socket.
type slotKey struct {
	index int
	proto protocol
}

// slot is a socket that should be open, and what is known about it.
type slot struct {
	ifi       Interface
	responder *responder // nil while the socket waits to be opened
	failures  int        // in a row
	retryAt   time.Time  // when responder is nil
	openedAt  time.Time
	refreshAt time.Time
}

// owner is the state of Run's goroutine.
type owner struct {
	*Announcer
	system  system
	slots   map[slotKey]*slot
	desired Desired
	waves   waves
	failed  chan failure
	claims  chan claim

	trials   map[netip.Addr]*trial // by address that waits for leave to be announced
	others   map[netip.Addr]*rival // by address that somebody else has
	retryAt  time.Time             // of trials; zero when there is nothing to do
	forgetAt time.Time             // of others, likewise

	reported Running
	touched  map[netip.Addr]struct{} // may differ from what was reported
	stale    bool                    // all may

	wakeups  chan struct{} // something changed, coalesced
	lost     chan error    // the watcher has ended
	watcher  watcher       // nil while it waits to be opened
	watching chan struct{} // closed when the watcher's goroutine has ended
	stop     chan struct{}
	rescanAt time.Time // zero when there is nothing to look at
	scanned  time.Time

	scanFail, watchFail int // in a row
}

func newOwner(a *Announcer, s system) *owner {
	return &owner{
		Announcer: a, system: s, slots: map[slotKey]*slot{}, failed: make(chan failure), claims: make(chan claim, claimsRoom),
		trials: map[netip.Addr]*trial{}, others: map[netip.Addr]*rival{}, touched: map[netip.Addr]struct{}{}, stale: true,
		wakeups: make(chan struct{}, 1), lost: make(chan error), stop: make(chan struct{}),
	}
}

// start watches before it scans, so that no change falls in between.
func (o *owner) start() error {
	if err := o.watch(); err != nil {
		return err
	}
	now := time.Now()
	if err := o.scan(now); err != nil {
		return err
	}
	o.sync(now)
	return nil
}

func (o *owner) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		o.work(time.Now())
		o.beReady()
		timer.Reset(time.Until(o.next()))
		select {
		case <-ctx.Done():
			return
		case req := <-o.requests:
			o.apply(req.desired, time.Now())
			req.reply <- o.report()
		case <-o.wakeups:
			o.watchFail = 0
			o.rescan(time.Now())
		case err := <-o.lost:
			o.unwatch(err, time.Now())
		case f := <-o.failed:
			o.fail(f, time.Now())
		case c := <-o.claims:
			o.listenTo(c, time.Now())
		case <-timer.C:
		}
	}
}

// apply does only what differs from before.
func (o *owner) apply(d Desired, now time.Time) {
	changed := o.desired.changes(d)
	renamed := !maps.Equal(o.desired.Stations, d.Stations)
	o.revise(changed, d)
	o.desired = d
	o.touch(changed...)
	if renamed {
		o.touch(slices.Collect(maps.Keys(o.others))...)
	}
	if len(changed) == 0 {
		return
	}
	for key, s := range o.slots {
		o.bring(key, s, changed, now)
	}
}

// work does what is due.
func (o *owner) work(now time.Time) {
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
	if due(o.rescanAt) {
		o.look(now)
	}
	if due(o.retryAt) {
		o.retry(now)
	}
	if due(o.forgetAt) {
		o.forget(now)
	}
	for key, s := range o.slots {
		switch {
		case s.responder == nil && !s.retryAt.After(now):
			o.fill(key, s, now)
			o.tell()
		case s.responder != nil && !s.refreshAt.After(now):
			o.refresh(key, s, now)
		}
	}
	if w := o.waves.first(now); w != nil && !w.at.After(now) {
		o.announce(w, now)
	}
}

// next returns when work will be due.
func (o *owner) next() time.Time {
	next := earlier(earlier(time.Now().Add(refreshEvery), o.rescanAt), earlier(o.retryAt, o.forgetAt))
	for _, s := range o.slots {
		if s.responder == nil {
			next = earlier(next, s.retryAt)
		} else {
			next = earlier(next, s.refreshAt)
		}
	}
	if w := o.waves.first(time.Now()); w != nil {
		next = earlier(next, w.at)
	}
	return next
}

// touch marks addresses as perhaps different from what was reported.
func (o *owner) touch(addrs ...netip.Addr) {
	for _, a := range addrs {
		o.touched[a] = struct{}{}
	}
}

func (o *owner) tell() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// beReady says so once, unless no socket at all could be opened: then announcing from here would be a promise that
// nobody keeps.
func (o *owner) beReady() {
	select {
	case <-o.ready:
		return
	default:
	}
	open := func(s *slot) bool { return s.responder != nil }
	if len(o.slots) == 0 || slices.ContainsFunc(slices.Collect(maps.Values(o.slots)), open) {
		close(o.ready)
	}
}

// sync makes the sockets fit the interfaces.
func (o *owner) sync(now time.Time) {
	o.stale = true // what is wrong with an address depends on all interfaces
	wanted := map[slotKey]Interface{}
	for _, i := range *o.interfaces.Load() {
		for _, p := range []protocol{protocolARP, protocolNDP} {
			if _, ok := i.carries(p); ok {
				wanted[slotKey{i.Index, p}] = i
			}
		}
	}
	for key, s := range o.slots {
		if i, ok := wanted[key]; !ok || !s.ifi.same(i, key.proto) {
			o.empty(key, s, now)
			delete(o.slots, key)
		}
	}
	for key, i := range wanted {
		s := o.slots[key]
		if s == nil {
			s = &slot{ifi: i}
			o.slots[key] = s
		}
		if s.responder == nil && !s.retryAt.After(now) {
			o.fill(key, s, now)
		}
	}
}

// fill opens the slot's socket and has it answer for all that is desired.
func (o *owner) fill(key slotKey, s *slot, now time.Time) {
	w, err := o.system.open(s.ifi, key.proto)
	if err != nil {
		o.backOff(key, s, err, now)
		return
	}
	s.responder = o.newResponder(w, key, s)
	s.openedAt, s.refreshAt = now, now.Add(spread(refreshEvery))
	o.stale = true
	go s.responder.run()
	o.bring(key, s, slices.Collect(maps.Keys(o.desired.Entries)), now)
}

func (o *owner) newResponder(w wire, key slotKey, s *slot) *responder {
	return &responder{
		wire: w, gate: newGate(), replies: o.metrics.replies(s.ifi.Name, key.proto),
		stop: make(chan struct{}), done: make(chan struct{}),
		on: key, claims: o.claims, failed: o.failed, told: map[told]time.Time{},
	}
}

// bring makes a socket's answers for some addresses what they should be, and starts what follows from that: those that are
// newly ours are announced, those that must not be yet are probed.
func (o *owner) bring(key slotKey, s *slot, addrs []netip.Addr, now time.Time) {
	if s.responder == nil {
		return
	}
	changes, news, probes := map[netip.Addr]answer{}, []netip.Addr(nil), []netip.Addr(nil)
	for _, a := range addrs {
		if protocolOf(a) != key.proto {
			continue
		}
		was, is := s.responder.table.find(a), o.wants(a, s.ifi)
		if was == is {
			continue
		}
		changes[a] = is
		if was.watch = is.watch; is.role == owned && was != is {
			news = append(news, a)
		}
		if t := o.trials[a]; is.role == silent && t != nil && !t.lost {
			probes = append(probes, a)
		}
	}
	if err := s.responder.adopt(changes); err != nil {
		o.empty(key, s, now)
		o.backOff(key, s, err, now)
		return
	}
	slices.SortFunc(news, netip.Addr.Compare)
	o.waves.add(wave{on: key, addrs: news, at: now, rounds: burstCount})
	if len(probes) > 0 {
		o.ask(key, probes, now)
	}
}

// wants returns the answer that an address should have on an interface.
func (o *owner) wants(a netip.Addr, i Interface) answer {
	e, ok := o.desired.Entries[a]
	if !ok || !announceable(a) || !e.covers(i.Name) {
		return answer{}
	}
	mac, standIn := e.As[i.Name]
	switch {
	case o.trials[a] != nil:
		return answer{role: silent, watch: true}
	case standIn:
		return answer{role: standing, watch: e.Monitor, mac: mac}
	case e.As == nil:
		return answer{role: owned, watch: e.Monitor, mac: MAC(i.MAC), generation: e.Generation}
	case e.Monitor:
		return answer{role: silent, watch: true}
	}
	return answer{}
}

// empty closes the slot's socket.
func (o *owner) empty(key slotKey, s *slot, now time.Time) {
	o.stale = true
	o.abandon(o.waves.drop(key), now)
	if s.responder != nil {
		s.responder.close()
		s.responder = nil
	}
}

// fail takes a responder's failure; one that has been replaced meanwhile is of no interest.
func (o *owner) fail(f failure, now time.Time) {
	key := f.of.on
	s := o.slots[key]
	if s == nil || s.responder != f.of {
		return
	}
	if now.Sub(s.openedAt) > maxBackoff {
		s.failures = 0
	}
	o.empty(key, s, now)
	o.backOff(key, s, f.err, now)
	o.tell()
}

func (o *owner) backOff(key slotKey, s *slot, err error, now time.Time) {
	s.failures++
	s.retryAt = now.Add(backoff(s.failures))
	o.metrics.failures.WithLabelValues(s.ifi.Name, string(key.proto)).Inc()
	if s.failures == 1 && !linkGone(err) {
		o.log.Error(err, "Socket failed, opening it again", "interface", s.ifi.Name)
		return
	}
	o.log.V(1).Info("Socket failed, opening it again", "interface", s.ifi.Name, "reason", err.Error())
}

// linkGone: the interface went down or away, of which netlink tells as well.
func linkGone(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}

func (o *owner) refresh(key slotKey, s *slot, now time.Time) {
	s.refreshAt = now.Add(spread(refreshEvery))
	var ours []netip.Addr
	for a, to := range s.responder.table.all {
		if to.role == owned {
			ours = append(ours, a)
		}
	}
	o.waves.add(wave{on: key, addrs: ours, at: now, rounds: 1, pace: refreshPace})
}

// announce sends the next part of a wave. A broken socket is its reader's to report.
func (o *owner) announce(w *wave, now time.Time) {
	s := o.slots[w.on]
	var err error
	if w.probing {
		err = o.probe(s, w, now)
	} else {
		var n int
		n, err = s.responder.wire.announce(w.part(), s.responder.announced)
		o.metrics.gratuitous.WithLabelValues(s.ifi.Name, string(w.on.proto)).Add(float64(n))
	}
	if err != nil {
		w.postpone(now)
		o.log.V(1).Info("Announcement not sent, trying again", "interface", s.ifi.Name, "reason", err.Error())
		return
	}
	o.waves.advance(w, now)
}

func (o *owner) close() {
	close(o.stop)
	if o.watcher != nil {
		o.closeWatcher()
	}
	for key, s := range o.slots {
		o.empty(key, s, time.Now())
	}
}
