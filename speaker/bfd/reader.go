package bfd

// arrived is what readers hand to the owner: a packet, an echo packet, or the end of a socket.
type arrived struct {
	from   *listener
	meta   Meta
	packet Packet
	raw    [maxLen]byte
	n      int
	err    error // the socket works no more
}

// listener is a receiving socket with the goroutine that reads it.
type listener struct {
	scope Scope
	echo  *echoKey // set for sockets of echo packets
	conn  Receiver
}

const readLen = 128 // more than any packet, so that a longer one is seen to be cut off nowhere that matters

// read reads until the socket fails or is closed; stop ends it while it waits for the owner.
func (l *listener) read(inbox chan<- arrived, stop <-chan struct{}, m *metrics) {
	b := make([]byte, readLen)
	for {
		a := arrived{from: l}
		n, meta, err := l.conn.Read(b)
		a.meta, a.err = meta, err
		if err == nil && !l.admit(b[:n], &a, m) {
			continue
		}
		select {
		case inbox <- a:
		case <-stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// admit throws away what no session could want, so that garbage costs the owner nothing.
func (l *listener) admit(b []byte, a *arrived, m *metrics) bool {
	if l.echo != nil {
		a.n = copy(a.raw[:], b)
		_, _, ok := parseEcho(b)
		return ok && a.meta.TTL >= 254 // some routers count their loop as a hop
	}
	if !l.scope.MultiHop && a.meta.TTL != 255 {
		m.drop(droppedTTL)
		return false
	}
	packet, err := a.packet.Parse(b)
	if err != nil || len(packet) > maxLen {
		m.drop(droppedMalformed)
		return false
	}
	a.n = copy(a.raw[:], packet)
	return true
}
