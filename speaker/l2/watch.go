package l2

import (
	"slices"
	"time"
)

// rescan asks for a scan: at once, or when the least time since the last one has passed.
func (o *owner) rescan(now time.Time) {
	at := o.scanned.Add(settle)
	if at.Before(now) {
		at = now
	}
	if o.rescanAt.IsZero() || at.Before(o.rescanAt) {
		o.rescanAt = at
	}
}

// look scans, having first opened the watcher again if it was lost.
func (o *owner) look(now time.Time) {
	o.rescanAt = time.Time{}
	err := o.watch()
	if err == nil {
		err = o.scan(now)
	}
	if err != nil {
		o.scanFail++
		o.rescanAt = now.Add(backoff(o.scanFail))
		o.log.Error(err, "Interfaces not known, trying again")
		return
	}
	o.scanFail = 0
	o.sync(now)
}

// scan takes over the interfaces as they are.
func (o *owner) scan(now time.Time) error {
	o.scanned = now
	found, err := o.system.scan()
	if err != nil {
		return err
	}
	known := *o.interfaces.Load()
	if slices.EqualFunc(known, found, Interface.equal) {
		return nil
	}
	for _, was := range known {
		if !slices.ContainsFunc(found, func(i Interface) bool { return i.Name == was.Name }) {
			o.metrics.forget(was.Name)
		}
	}
	o.interfaces.Store(&found)
	o.tell()
	return nil
}

// watch opens the watcher if there is none.
func (o *owner) watch() error {
	if o.watcher != nil {
		return nil
	}
	w, err := o.system.watch()
	if err != nil {
		return err
	}
	o.watcher, o.watching = w, make(chan struct{})
	go o.listen(w, o.watching)
	return nil
}

// listen passes wake-ups on until the watcher ends.
func (o *owner) listen(w watcher, done chan<- struct{}) {
	defer close(done)
	for {
		if err := w.next(); err != nil {
			select {
			case o.lost <- err:
			case <-o.stop:
			}
			return
		}
		select {
		case o.wakeups <- struct{}{}:
		default:
		}
	}
}

// unwatch closes a watcher that has ended, most likely because changes came faster than they were read. What was missed
// is found by the scan, which opens a new one first.
func (o *owner) unwatch(err error, now time.Time) {
	o.log.V(1).Info("Interface watch lost, opening it again", "reason", err.Error())
	o.closeWatcher()
	o.rescan(now)
	if o.watchFail++; o.watchFail > 1 {
		o.rescanAt = now.Add(backoff(o.watchFail))
	}
}

func (o *owner) closeWatcher() {
	o.watcher.Close()
	<-o.watching
	o.watcher = nil
}
