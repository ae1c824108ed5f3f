package bfd

// echoKey names a socket for echo packets.
type echoKey struct {
	ifIndex int
	ipv6    bool
}

func (s *session) echoKey() echoKey { return echoKey{s.ifIndex, s.path.Peer.Is6()} }

// sendEcho sends one echo packet out of the interface through which the peer's packets come in. A failure needs no word: the echo
// does not come back, and control packets keep watch until one does.
func (o *owner) sendEcho(s *session) {
	l := o.echoes[s.echoKey()]
	if l == nil {
		l = o.openEcho(s.echoKey())
	}
	if l == nil {
		s.echoAt = o.now() + retry
		return
	}
	if err := l.conn.(EchoConn).Write(s.encodeEcho(o.buffer[:0]), s.local, s.path.Peer); err != nil {
		o.e.metrics.failures.Inc()
	}
}

func (o *owner) openEcho(key echoKey) *listener {
	conn, err := o.e.network.Echo(key.ifIndex, key.ipv6)
	if err != nil {
		o.e.metrics.failures.Inc()
		return nil
	}
	l := &listener{echo: &key, conn: conn}
	o.echoes[key] = l
	o.readers.Go(func() { l.read(o.inbox, o.stop, o.e.metrics) })
	return l
}

func (o *owner) receiveEcho(a *arrived) {
	discr, token, ok := parseEcho(a.raw[:a.n])
	s := o.sessions.byDiscr[discr]
	if !ok || s == nil || s.token != token || s.echoKey() != *a.from.echo {
		o.e.metrics.drop(droppedUnknown)
		return
	}
	was := s.state
	s.echoed(o.now())
	o.after(s, was)
}
