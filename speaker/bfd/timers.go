package bfd

import "time"

const (
	// slow is the least interval while not up, and that of control packets while echo packets do the work, RFC 5880 §6.8.3.
	slow = time.Second
	// late is how much after its time an expiry may be seen before it is doubted.
	late = time.Millisecond
)

// step is what is due.
type step struct {
	control, echo bool
}

// settle brings all timers to what the settings, the state and the peer's wishes make of them. It changes nothing if they
// are so already.
func (m *machine) settle(now instant) {
	m.settleEcho(now)
	m.negotiate()
	m.settleTx(now)
	m.settleDetection()
}

// negotiate says what the peer is to be told, and starts a poll sequence if that is news to a peer that is up, RFC 5880 §6.8.3.
func (m *machine) negotiate() {
	tx, rx := m.set.MinTx, m.set.MinRx
	if m.state != Up {
		tx = max(tx, slow)
	}
	if m.echoing {
		rx = max(rx, slow)
	}
	news := tx != m.desiredTx || rx != m.requiredRx
	m.desiredTx, m.requiredRx = tx, rx
	if m.state != Up {
		m.usedTx, m.usedRx, m.polling, m.pollAgain = tx, rx, false, false
		m.urgent = m.urgent || news
		return
	}
	if news {
		m.pollAgain = m.polling // the answer under way is to what was said before
		m.polling, m.urgent = true, true
	}
	// Until the peer has heard it, this side may become faster in sending and more patient in listening, but not the reverse.
	if m.polling {
		m.usedTx, m.usedRx = min(m.usedTx, tx), max(m.usedRx, rx)
	} else {
		m.usedTx, m.usedRx = tx, rx
	}
}

func (m *machine) endPoll() {
	if m.pollAgain {
		m.pollAgain, m.urgent = false, true
		return
	}
	m.polling = false
}

// settleTx plans the next packet: at once if there is news, and never sooner than the peer wants otherwise.
func (m *machine) settleTx(now instant) {
	interval := max(m.usedTx, m.remote.requiredRx)
	if m.quiet() {
		interval = 0
	}
	if interval != m.interval {
		m.interval, m.changed = interval, true
		m.nextTx = max(now, m.lastTx+m.jittered(interval))
	}
	switch {
	case interval == 0:
		m.nextTx = never
	case m.urgent:
		m.nextTx = min(m.nextTx, now)
	}
}

// quiet tells whether no packet is to be sent unasked, RFC 5880 §6.8.7.
func (m *machine) quiet() bool {
	demand := m.remote.demand && m.state == Up && m.remote.state == Up && !m.polling
	return m.remote.requiredRx == 0 || m.set.Passive && m.remote.discr == 0 || demand
}

// settleDetection reckons the detection time anew, RFC 5880 §6.8.4. A shorter one counts from the last packet heard.
func (m *machine) settleDetection() {
	d := time.Duration(m.remote.multiplier) * max(m.usedRx, m.remote.desiredTx)
	if m.remote.discr == 0 || d == m.detection {
		return
	}
	m.detection, m.changed = d, true
	m.detectAt = m.lastRx + d
}

// settleEcho starts and stops echo packets, RFC 5880 §6.8.9.
func (m *machine) settleEcho(now instant) {
	var interval time.Duration
	if m.state == Up && m.set.Echo > 0 && m.remote.requiredEcho > 0 {
		interval = max(m.set.Echo, m.remote.requiredEcho)
	}
	if interval == m.echoInterval {
		return
	}
	m.echoInterval, m.changed = interval, true
	if interval == 0 {
		m.echoing, m.echoAt, m.echoDetectAt = false, never, never
		return
	}
	m.echoAt = now
	if m.echoing {
		m.echoDetectAt = now + time.Duration(m.set.Multiplier)*interval
	}
}

// jittered takes up to a quarter off an interval so that sessions do not send in step, and at least a tenth if a single
// missing packet counts, RFC 5880 §6.8.7.
func (m *machine) jittered(d time.Duration) time.Duration {
	least, most := d*3/4, d
	if m.set.Multiplier == 1 {
		most = d * 9 / 10
	}
	return least + time.Duration(m.rand.Int64N(int64(most-least)+1))
}

// next is when expire is to be called.
func (m *machine) next() instant {
	return min(m.nextTx, m.detectAt, m.echoAt, m.echoDetectAt)
}

// expire does what is due at now and says what is to be sent.
func (m *machine) expire(now instant) step {
	if m.echoDetectAt <= now && !m.doubt(now, &m.echoDetectAt, time.Duration(m.set.Multiplier)*m.echoInterval) {
		m.silence = time.Duration(m.set.Multiplier) * m.echoInterval
		m.enter(now, Down, DiagEchoFailed, CauseEchoFailed)
		m.settle(now)
	}
	if m.detectAt <= now && !m.doubt(now, &m.detectAt, m.detection) {
		m.lose(now)
	}
	var s step
	if m.echoAt <= now {
		s.echo = true
		m.echoAt = now + m.jittered(m.echoInterval)
	}
	if m.nextTx <= now {
		s.control, m.urgent = true, false
		m.lastTx, m.nextTx = now, now+m.jittered(m.interval)
	}
	return s
}

// doubt grants an expiry a second look a little later if it is seen late: then this program got no CPU, and what the peer
// sent meanwhile is still in the sockets' buffers.
func (m *machine) doubt(now instant, at *instant, of time.Duration) bool {
	if m.doubted || now-*at <= late {
		return false
	}
	m.doubted = true
	*at = now + min(of/20, 10*time.Millisecond)
	return true
}

// lose forgets a peer that was silent for the detection time, RFC 5880 §6.8.1 and §6.8.4.
func (m *machine) lose(now instant) {
	m.remote, m.detectAt, m.doubted, m.changed = unheard(), never, false, true
	if m.state == Init || m.state == Up {
		m.silence = m.detection
		m.enter(now, Down, DiagDetectionExpired, CauseDetectionExpired)
	}
	m.settle(now)
}
