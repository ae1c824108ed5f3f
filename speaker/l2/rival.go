package l2

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// rival is another station that was heard to have an address of ours.
type rival struct {
	mac        MAC
	on         string // interface
	since      time.Time
	heard      time.Time
	defendedAt time.Time
}

// listenTo takes a claim that a reader has heard.
func (o *owner) listenTo(c claim, now time.Time) {
	s, e := o.slots[c.of.on], o.desired.Entries[c.addr]
	if s == nil || s.responder != c.of || c.mac == e.As[s.ifi.Name] || o.ours(c.mac) {
		return
	}
	_, friend := o.desired.Stations[c.mac]
	t := o.trials[c.addr]
	switch {
	case t != nil && c.probe && friend: // both are only asking; who decides who announces knows of both
	case t != nil:
		o.hold(c, s, now)
		o.lose(c.addr, t, now)
	case e.Monitor && !c.probe:
		r := o.hold(c, s, now)
		if !friend && s.responder.announced(c.addr).speaks() {
			o.defend(c.addr, r, c.of.on, now)
		}
	}
}

// ours: a node may hear itself through a second interface on the same network.
func (o *owner) ours(mac MAC) bool {
	return slices.ContainsFunc(*o.interfaces.Load(), func(i Interface) bool { return bytes.Equal(i.MAC, mac[:]) })
}

// hold remembers and reports a claim. Of several rivals the first is reported, and another only some time after it.
func (o *owner) hold(c claim, s *slot, now time.Time) *rival {
	r := o.others[c.addr]
	switch {
	case r == nil:
		r = &rival{}
		o.others[c.addr] = r
	case r.mac == c.mac:
		r.heard = now
		return r
	case now.Sub(r.since) < defendEvery:
		return r
	}
	r.mac, r.on, r.since, r.heard = c.mac, s.ifi.Name, now, now
	o.forgetAt = earlier(o.forgetAt, now.Add(rivalMemory))
	if name, friend := o.desired.Stations[c.mac]; friend {
		o.log.V(1).Info("Another node has the address", "address", c.addr, "interface", s.ifi.Name, "node", name)
	} else {
		o.metrics.conflicts.WithLabelValues(s.ifi.Name, string(c.of.on.proto)).Inc()
		o.log.Info("A foreign host has the address", "address", c.addr, "interface", s.ifi.Name, "peer", c.mac.String())
	}
	o.touch(c.addr)
	o.tell()
	return r
}

// defend announces the address once, at most once in ten seconds (RFC 5227 §2.4 (c)).
func (o *owner) defend(a netip.Addr, r *rival, on slotKey, now time.Time) {
	if !r.defendedAt.IsZero() && now.Sub(r.defendedAt) < defendEvery {
		return
	}
	r.defendedAt = now
	o.waves.add(wave{on: on, addrs: []netip.Addr{a}, at: now, rounds: 1})
}

// forget drops the rivals that were not heard of for long. What an open trial has found is the trial's to end.
func (o *owner) forget(now time.Time) {
	o.forgetAt = time.Time{}
	for a, r := range o.others {
		if o.trials[a] != nil {
			r.heard = now
		}
		if at := r.heard.Add(rivalMemory); at.After(now) {
			o.forgetAt = earlier(o.forgetAt, at)
			continue
		}
		delete(o.others, a)
		o.touch(a)
		o.tell()
	}
}
