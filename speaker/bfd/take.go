package bfd

import (
	"encoding/binary"
	"maps"
	"slices"
)

// take makes d what is desired: sessions come, change in place, or leave.
func (o *owner) take(d Desired) {
	o.desired, o.dirty = d, true
	clear(o.invalid)
	plain := map[Path]Path{} // to the name that has it
	for _, name := range slices.SortedFunc(maps.Keys(d.Sessions), comparePaths) {
		set := d.Sessions[name]
		path, err := name.plain()
		if err == nil {
			err = set.validate(path.MultiHop)
		}
		if other, taken := plain[path]; err == nil && taken {
			err = &duplicateError{other}
		}
		if err != nil {
			o.invalid[name] = err.Error()
			continue
		}
		plain[path] = name
		o.want(name, path, set)
	}
	for name, s := range o.sessions.named {
		if _, ok := d.Sessions[name]; !ok || o.invalid[name] != "" {
			o.dismiss(s)
		}
	}
	o.openSockets()
}

func (o *owner) want(name, path Path, set Settings) {
	s := o.sessions.named[name]
	if s == nil {
		s = &session{
			machine: newMachine(o.now(), set, o.sessions.freshDiscr(), o.rand), name: name, path: path, leaveAt: never,
			token: binary.BigEndian.Uint64(random(8)),
		}
		o.sessions.add(s)
		return
	}
	if s.leaveAt == never && s.set == set {
		return
	}
	was := s.state
	s.leaveAt = never
	s.apply(o.now(), set)
	o.after(s, was)
}

// dismiss tells the peer that the session is no longer wanted, which is no failure, and forgets it after that.
func (o *owner) dismiss(s *session) {
	if s.leaveAt != never {
		return
	}
	if s.remote.discr == 0 || s.sender == nil {
		o.forget(s)
		return
	}
	was, set := s.state, s.set
	set.AdminDown = true
	s.leaveAt = o.now() + farewell
	s.apply(o.now(), set)
	o.after(s, was)
}

func (o *owner) forget(s *session) {
	o.sessions.remove(s)
	o.hangUp(s)
	o.closeUnused()
}

// close tells every peer once that its session is down on purpose, and ends all sockets and readers.
func (o *owner) close() {
	close(o.stop)
	for _, s := range o.sessions.named {
		if set := s.set; s.remote.discr != 0 {
			set.AdminDown = true
			s.apply(o.now(), set)
			o.send(s, false)
		}
		o.hangUp(s)
	}
	for _, l := range o.listeners {
		_ = l.conn.Close()
	}
	for _, l := range o.echoes {
		_ = l.conn.Close()
	}
	o.readers.Wait()
}
