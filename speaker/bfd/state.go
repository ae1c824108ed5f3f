package bfd

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// instant is a time on the engine's own clock, which starts at zero and never jumps.
type instant = time.Duration

const never instant = math.MaxInt64

// Cause says why a session is not up, more finely than the diagnostic on the wire does.
type Cause string

// The causes.
const (
	// CauseNone: the session has not been up yet, or is.
	CauseNone Cause = ""
	// CauseDetectionExpired: the peer was silent for the detection time.
	CauseDetectionExpired Cause = "DetectionTimeExpired"
	// CauseEchoFailed: echo packets came back no more.
	CauseEchoFailed Cause = "EchoFailed"
	// CauseNeighborDown: the peer says that the session is down.
	CauseNeighborDown Cause = "NeighborDown"
	// CauseNeighborAdminDown: the peer was told to take the session down, which is no failure of the path.
	CauseNeighborAdminDown Cause = "NeighborAdminDown"
	// CauseAdminDown: this side was told to take the session down, which is no failure of the path.
	CauseAdminDown Cause = "AdminDown"
)

// machine is one session as RFC 5880 §6.8 describes it, without socket or clock. Packets come in through receive, time through
// expire, wishes through apply; next says when to call expire again, encode makes the packet that is to be sent.
//
//	          peer says  AdminDown   Down     Init     Up
//	we are AdminDown     -           -        -        -
//	       Down          -           Init     Up       -
//	       Init          Down        -        Up       Up
//	       Up            Down        Down     -        -
type machine struct {
	set  Settings
	rand *rand.Rand

	discr uint32
	state State
	diag  Diag
	cause Cause
	// silence is the detection time that expired last.
	silence    time.Duration
	since      instant // in this state
	ups, downs uint64
	remote     remote

	// What the peer is told, and what is reckoned with until it has answered the poll.
	desiredTx, requiredRx time.Duration
	usedTx, usedRx        time.Duration
	polling, pollAgain    bool

	interval       time.Duration // between packets before jitter, zero while quiet
	lastTx, nextTx instant
	urgent         bool // what the peer heard last is no longer true

	lastRx, detectAt instant
	detection        time.Duration
	doubted          bool // the expiry was seen late and got a second look

	echoInterval         time.Duration // zero while no echo packets are sent
	echoAt, echoDetectAt instant
	echoing              bool // they come back

	window   sequenceWindow
	sequence uint32

	changed bool // something that users see; the owner clears it
}

// remote is what the peer said last.
type remote struct {
	discr        uint32
	state        State
	diag         Diag
	multiplier   uint8
	demand       bool
	independent  bool
	desiredTx    time.Duration
	requiredRx   time.Duration
	requiredEcho time.Duration
}

// unheard is what is assumed of a peer that has said nothing, RFC 5880 §6.8.1.
func unheard() remote {
	return remote{state: Down, requiredRx: time.Microsecond}
}

func newMachine(now instant, set Settings, discr uint32, r *rand.Rand) *machine {
	m := &machine{
		rand: r, discr: discr, state: Down, since: now, remote: unheard(), sequence: r.Uint32(),
		lastTx: now, nextTx: never, detectAt: never, echoAt: never, echoDetectAt: never, urgent: true,
	}
	m.apply(now, set)
	return m
}

// apply takes new settings, which must be valid. A session that is up stays up (RFC 5880 §6.8.3).
func (m *machine) apply(now instant, set Settings) {
	set.whole()
	was := m.set
	m.set = set
	if set.Auth != was.Auth {
		m.window.known = false
	}
	switch {
	case set.AdminDown && m.state != AdminDown:
		m.enter(now, AdminDown, DiagAdminDown, CauseAdminDown)
	case !set.AdminDown && m.state == AdminDown:
		m.enter(now, Down, DiagNone, CauseNone)
	}
	if set.Multiplier != was.Multiplier {
		m.urgent = true
	}
	m.changed = true
	m.settle(now)
}

var (
	errAuthExpected   = errors.New("the packet is not authenticated")
	errAuthUnexpected = errors.New("the packet is authenticated, this session is not")
)

// receive takes a packet that was addressed to this session, with its raw bytes. It reports whether a packet with the
// final bit is due at once, or why the packet was thrown away.
func (m *machine) receive(now instant, p *Packet, raw []byte) (final bool, err error) {
	if err := m.authenticate(now, p, raw); err != nil {
		return false, err
	}
	m.learn(now, p)
	if m.state != AdminDown {
		m.transition(now, p.State)
	}
	m.settle(now)
	m.detectAt = now + m.detection
	return p.Has(FlagPoll) && m.state != AdminDown, nil
}

func (m *machine) authenticate(now instant, p *Packet, raw []byte) error {
	if now-m.lastRx > 2*m.detection { // RFC 5880 §6.8.1, bfd.AuthSeqKnown
		m.window.known = false
	}
	switch has := p.Has(FlagAuth); {
	case has && m.set.Auth.Type == AuthNone:
		return errAuthUnexpected
	case !has && m.set.Auth.Type != AuthNone:
		return errAuthExpected
	case has:
		return m.set.Auth.verify(raw, p.Multiplier, &m.window)
	}
	return nil
}

func (m *machine) learn(now instant, p *Packet) {
	r := remote{
		discr: p.MyDiscr, state: p.State, diag: p.Diag, multiplier: p.Multiplier, demand: p.Has(FlagDemand), independent: p.Has(FlagIndependent),
		desiredTx: p.DesiredTx, requiredRx: p.RequiredRx, requiredEcho: p.RequiredEcho,
	}
	m.changed = m.changed || r != m.remote
	m.remote, m.lastRx, m.doubted = r, now, false
	if m.polling && p.Has(FlagFinal) {
		m.endPoll()
	}
}

func (m *machine) transition(now instant, heard State) {
	switch {
	case heard == AdminDown:
		if m.state != Down {
			m.enter(now, Down, DiagNeighborDown, CauseNeighborAdminDown)
		}
	case m.state == Down && heard == Down:
		m.enter(now, Init, m.diag, m.cause)
	case m.state == Down && heard == Init, m.state == Init && heard >= Init:
		m.enter(now, Up, DiagNone, CauseNone)
	case m.state == Up && heard == Down:
		m.enter(now, Down, DiagNeighborDown, CauseNeighborDown)
	}
}

func (m *machine) enter(now instant, s State, d Diag, c Cause) {
	if m.state == Up {
		m.downs++
	}
	if s == Up {
		m.ups++
	}
	m.state, m.diag, m.cause, m.since = s, d, c, now
	m.urgent, m.changed = true, true
}

// echoed takes the news that an echo packet came back.
func (m *machine) echoed(now instant) {
	if m.echoInterval == 0 {
		return
	}
	m.changed = m.changed || !m.echoing
	m.echoing, m.doubted = true, false
	m.echoDetectAt = now + time.Duration(m.set.Multiplier)*m.echoInterval
	m.settle(now)
}

// encode appends the packet that is to be sent now.
func (m *machine) encode(b []byte, final bool) []byte {
	p := Packet{
		Diag: m.diag, State: m.state, Multiplier: m.set.Multiplier, MyDiscr: m.discr, YourDiscr: m.remote.discr,
		DesiredTx: m.desiredTx, RequiredRx: m.requiredRx,
	}
	switch {
	case final:
		p.Flags = FlagFinal // never with the poll bit, RFC 5880 §6.5
	case m.polling:
		p.Flags = FlagPoll
	}
	m.sequence++
	return m.set.Auth.sign(p.Append(b), m.sequence)
}
