package l2

import (
	"context"
	"errors"
	"maps"
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
		Announcer: a, system: s, slots: map[slotKey]*slot{}, failed: make(chan failure),
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
			o.desired = req.desired
			o.sync(time.Now())
			req.reply <- o.running()
		case <-o.wakeups:
			o.watchFail = 0
			o.rescan(time.Now())
		case err := <-o.lost:
			o.unwatch(err, time.Now())
		case f := <-o.failed:
			o.fail(f, time.Now())
		case <-timer.C:
		}
	}
}

// work does what is due.
func (o *owner) work(now time.Time) {
	if !o.rescanAt.IsZero() && !o.rescanAt.After(now) {
		o.look(now)
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
	next := time.Now().Add(refreshEvery)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if !o.rescanAt.IsZero() {
		earlier(o.rescanAt)
	}
	for _, s := range o.slots {
		if s.responder == nil {
			earlier(s.retryAt)
		} else {
			earlier(s.refreshAt)
		}
	}
	if w := o.waves.first(time.Now()); w != nil {
		earlier(w.at)
	}
	return next
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

// sync makes the sockets fit the interfaces, and their tables what is desired.
func (o *owner) sync(now time.Time) {
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
			o.empty(key, s)
			delete(o.slots, key)
		}
	}
	for key, i := range wanted {
		s := o.slots[key]
		if s == nil {
			s = &slot{ifi: i}
			o.slots[key] = s
		}
		if s.responder != nil || !s.retryAt.After(now) {
			o.fill(key, s, now)
		}
	}
}

// fill opens the slot's socket if it is not open and brings its table up to date.
func (o *owner) fill(key slotKey, s *slot, now time.Time) {
	if s.responder == nil {
		w, err := o.system.open(s.ifi, key.proto)
		if err != nil {
			o.backOff(key, s, err, now)
			return
		}
		s.responder = newResponder(w, o.metrics.replies(s.ifi.Name, key.proto))
		s.openedAt, s.refreshAt = now, now.Add(spread(refreshEvery))
		go s.responder.run(key, o.failed)
	}
	added, err := s.responder.adopt(o.desired.wants(s.ifi, key.proto))
	if err != nil {
		o.empty(key, s)
		o.backOff(key, s, err, now)
		return
	}
	o.waves.add(wave{on: key, addrs: added, at: now, rounds: burstCount})
}

// empty closes the slot's socket.
func (o *owner) empty(key slotKey, s *slot) {
	o.waves.drop(key)
	if s.responder != nil {
		s.responder.close()
		s.responder = nil
	}
}

// fail takes a responder's failure; one that has been replaced meanwhile is of no interest.
func (o *owner) fail(f failure, now time.Time) {
	s := o.slots[f.on]
	if s == nil || s.responder != f.of {
		return
	}
	if now.Sub(s.openedAt) > maxBackoff {
		s.failures = 0
	}
	o.empty(f.on, s)
	o.backOff(f.on, s, f.err, now)
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
	t := *s.responder.table.Load()
	o.waves.add(wave{on: key, addrs: slices.Collect(maps.Keys(t)), at: now, rounds: 1, pace: refreshPace})
}

// announce sends the next part of a wave. A broken socket is its reader's to report.
func (o *owner) announce(w *wave, now time.Time) {
	s := o.slots[w.on]
	n, err := s.responder.wire.announce(w.part(), s.responder.find)
	o.metrics.gratuitous.WithLabelValues(s.ifi.Name, string(w.on.proto)).Add(float64(n))
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
		o.empty(key, s)
	}
}
