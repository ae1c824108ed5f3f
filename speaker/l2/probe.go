package l2

import (
	"net/netip"
	"slices"
	"time"
)

// trial is the question whether somebody has an address, for as long as it is open: the address is listened for and not
// answered. The answer no ends the trial, the answer yes has it asked again.
//
//	         socket open           300 ms of silence
//	waiting ────────────► probing ───────────────────► announced
//	          ◄──────────   │  ▲
//	         sockets gone   │  │ pause
//	                        ▼  │
//	                        lost
type trial struct {
	pending  []*wave   // of probes, one per socket: all must end without a claim
	lost     bool      // somebody has it
	failures int       // in a row
	retryAt  time.Time // zero if it is not to be asked again
}

// revise opens and ends trials as the changed entries ask for it, before these are taken over.
func (o *owner) revise(changed []netip.Addr, to Desired) {
	for _, a := range changed {
		_, known := o.desired.Entries[a]
		e, stays := to.Entries[a]
		switch {
		case !stays || e.As != nil || !e.Probe:
			delete(o.trials, a)
		case !known && announceable(a):
			o.trials[a] = &trial{}
		}
		if !stays {
			delete(o.others, a)
		}
	}
}

// ask has addresses probed on a socket.
func (o *owner) ask(on slotKey, addrs []netip.Addr, now time.Time) {
	w := o.waves.add(wave{on: on, addrs: addrs, at: now, rounds: probeCount + 1, gap: probeGap, probing: true})
	for _, a := range addrs {
		t := o.trials[a]
		t.pending, t.retryAt = append(t.pending, w), time.Time{}
	}
}

// probing lists those of a wave's addresses that it is still needed for.
func (o *owner) probing(w *wave, addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		t := o.trials[a]
		return t == nil || !slices.Contains(t.pending, w)
	})
}

// probe sends the next part of a wave of probes. Its last round sends nothing: then the time to answer is over.
func (o *owner) probe(s *slot, w *wave, now time.Time) error {
	if w.rounds > 1 {
		n, err := s.responder.wire.probe(o.probing(w, w.part()))
		o.metrics.probes.WithLabelValues(s.ifi.Name, string(w.on.proto)).Add(float64(n))
		return err
	}
	o.conclude(w, w.part(), now)
	return nil
}

// conclude announces the addresses that nobody was heard to have.
func (o *owner) conclude(w *wave, addrs []netip.Addr, now time.Time) {
	var free []netip.Addr
	for _, a := range o.probing(w, addrs) {
		t := o.trials[a]
		if t.pending = without(t.pending, w); len(t.pending) == 0 {
			free = append(free, a)
			delete(o.trials, a)
			delete(o.others, a)
		}
	}
	if len(free) == 0 {
		return
	}
	for key, s := range o.slots {
		o.bring(key, s, free, now)
	}
	o.touch(free...)
	o.tell()
}

// abandon takes waves that will not end out of account. What was probed elsewhere only, and to the end, is asked anew; what
// can be asked nowhere waits for a socket.
func (o *owner) abandon(waves []*wave, now time.Time) {
	for _, w := range waves {
		for _, a := range w.addrs {
			t := o.trials[a]
			if t == nil || !slices.Contains(t.pending, w) {
				continue
			}
			if t.pending = without(t.pending, w); len(t.pending) == 0 {
				t.retryAt, o.retryAt = now, earlier(o.retryAt, now)
			}
		}
	}
}

func without(list []*wave, w *wave) []*wave {
	return slices.DeleteFunc(list, func(x *wave) bool { return x == w })
}

// lose gives an address up to another station until it is asked for again.
func (o *owner) lose(a netip.Addr, t *trial, now time.Time) {
	if t.lost {
		return
	}
	t.lost, t.pending = true, nil
	t.failures++
	t.retryAt = now.Add(retryPause(t.failures))
	o.retryAt = earlier(o.retryAt, t.retryAt)
	o.touch(a)
	o.tell()
}

// retry asks again for what is due.
func (o *owner) retry(now time.Time) {
	o.retryAt = time.Time{}
	due := map[slotKey][]netip.Addr{}
	for a, t := range o.trials {
		if t.retryAt.After(now) {
			o.retryAt = earlier(o.retryAt, t.retryAt)
			continue
		}
		if t.retryAt.IsZero() {
			continue
		}
		t.lost, t.retryAt = false, time.Time{}
		o.touch(a)
		for key, s := range o.slots {
			if s.responder != nil && key.proto == protocolOf(a) && s.responder.table.find(a).role == silent {
				due[key] = append(due[key], a)
			}
		}
	}
	for key, addrs := range due {
		o.ask(key, addrs, now)
	}
}
