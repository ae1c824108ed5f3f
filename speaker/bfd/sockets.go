package bfd

import (
	"cmp"
	"fmt"
)

type duplicateError struct{ other Path }

func (e *duplicateError) Error() string {
	return fmt.Sprintf("the same path is desired twice, also as %+v", e.other)
}

func comparePaths(a, b Path) int {
	multi := func(p Path) int {
		if p.MultiHop {
			return 1
		}
		return 0
	}
	return cmp.Or(a.Peer.Compare(b.Peer), a.Local.Compare(b.Local), cmp.Compare(a.Interface, b.Interface),
		cmp.Compare(a.VRF, b.VRF), cmp.Compare(multi(a), multi(b)))
}

// openSockets opens every socket that is lacking, and closes those that no session needs. What fails is tried again later.
func (o *owner) openSockets() {
	o.retryAt = never
	clear(o.failed)
	for _, s := range o.sessions.named {
		problem := o.listen(s.path.scope())
		if problem == "" {
			problem = o.dial(s)
		}
		switch {
		case problem != "":
			o.retryAt = o.now() + retry
			o.trouble(s, problem)
		case s.interval == 0: // otherwise the first packet that gets out proves it
			o.solve(s)
		}
	}
	o.closeUnused()
}

// listen opens the receiving socket of a scope unless it is open or has just failed, and returns why it cannot.
func (o *owner) listen(scope Scope) string {
	if o.listeners[scope] != nil || o.failed[scope] != "" {
		return o.failed[scope]
	}
	conn, err := o.e.network.Listen(scope)
	if err != nil {
		o.e.metrics.failures.Inc()
		o.failed[scope] = err.Error()
		return err.Error()
	}
	l := &listener{scope: scope, conn: conn}
	o.listeners[scope] = l
	o.readers.Go(func() { l.read(o.inbox, o.stop, o.e.metrics) })
	return ""
}

func (o *owner) dial(s *session) string {
	if s.sender != nil {
		return ""
	}
	sender, err := o.e.network.Dial(s.path)
	if err != nil {
		o.e.metrics.failures.Inc()
		return err.Error()
	}
	s.sender, s.urgent = sender, true
	s.settle(o.now())
	o.sessions.due.moved(s)
	return ""
}

// sendFailed gives up a socket that does not send: its interface or address may be another by now.
func (o *owner) sendFailed(s *session, err error) {
	o.e.metrics.failures.Inc()
	o.hangUp(s)
	o.trouble(s, err.Error())
	o.retryAt = min(o.retryAt, o.now()+retry)
}

func (o *owner) trouble(s *session, problem string) {
	if problem != s.problem {
		s.problem, o.dirty = problem, true
		o.e.log.Info("a BFD session's socket does not work", "peer", s.path.Peer, "interface", s.path.Interface, "reason", problem)
	}
}

func (o *owner) hangUp(s *session) {
	if s.sender != nil {
		_ = s.sender.Close()
		s.sender = nil
	}
}

// lost drops a receiving socket that failed.
func (o *owner) lost(l *listener, err error) {
	if l.echo != nil {
		if o.echoes[*l.echo] == l {
			delete(o.echoes, *l.echo)
			_ = l.conn.Close()
		}
		return
	}
	if o.listeners[l.scope] != l {
		return // closed by ourselves
	}
	o.e.metrics.failures.Inc()
	delete(o.listeners, l.scope)
	_ = l.conn.Close()
	o.retryAt = min(o.retryAt, o.now()+retry)
	for _, s := range o.sessions.named {
		if s.path.scope() == l.scope {
			o.trouble(s, err.Error())
		}
	}
}

// closeUnused closes receiving sockets without a session.
func (o *owner) closeUnused() {
	scopes, echoes := map[Scope]bool{}, map[echoKey]bool{}
	for _, s := range o.sessions.named {
		scopes[s.path.scope()] = true
		if s.echoInterval > 0 {
			echoes[s.echoKey()] = true
		}
	}
	for scope, l := range o.listeners {
		if !scopes[scope] {
			delete(o.listeners, scope)
			_ = l.conn.Close()
		}
	}
	for key, l := range o.echoes {
		if !echoes[key] {
			delete(o.echoes, key)
			_ = l.conn.Close()
		}
	}
}
