package bfd

import (
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

func settings() Settings {
	return Settings{MinTx: 50 * ms, MinRx: 50 * ms, Multiplier: 3}
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, n)) }

// peerPacket is what a peer with 50 ms × 3 says to the session with discriminator 1.
func peerPacket(s State) Packet {
	return Packet{State: s, Multiplier: 3, MyDiscr: 2, YourDiscr: 1, DesiredTx: 50 * ms, RequiredRx: 50 * ms}
}

// in returns a machine that is in a state, at time zero.
func in(t *testing.T, s State, set Settings) *machine {
	t.Helper()
	set.AdminDown = s == AdminDown
	m := newMachine(0, set, 1, seeded(1))
	for _, heard := range map[State][]State{Init: {Down}, Up: {Down, Up}}[s] {
		hear(t, m, 0, peerPacket(heard))
	}
	if m.state != s {
		t.Fatalf("the machine is %s, not %s", m.state, s)
	}
	return m
}

func hear(t *testing.T, m *machine, now instant, p Packet) (final bool) {
	t.Helper()
	final, err := m.receive(now, &p, p.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return final
}

// due is what is to be sent at a time; the machine must have nothing due before.
func due(t *testing.T, m *machine, now instant) Packet {
	t.Helper()
	if m.next() > now {
		t.Fatalf("at %s the next step is due at %s only", now, m.next())
	}
	if !m.expire(now).control {
		t.Fatalf("at %s no packet is due", now)
	}
	return sent(t, m, false)
}

func sent(t *testing.T, m *machine, final bool) Packet {
	t.Helper()
	var p Packet
	if _, err := p.Parse(m.encode(nil, final)); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStateTable is RFC 5880 §6.2 and §6.8.6.
func TestStateTable(t *testing.T) {
	tests := []struct {
		have, heard, want State
		diag              Diag
		cause             Cause
	}{
		{AdminDown, AdminDown, AdminDown, DiagAdminDown, CauseAdminDown},
		{AdminDown, Down, AdminDown, DiagAdminDown, CauseAdminDown},
		{AdminDown, Init, AdminDown, DiagAdminDown, CauseAdminDown},
		{AdminDown, Up, AdminDown, DiagAdminDown, CauseAdminDown},
		{Down, AdminDown, Down, DiagNone, CauseNone},
		{Down, Down, Init, DiagNone, CauseNone},
		{Down, Init, Up, DiagNone, CauseNone},
		{Down, Up, Down, DiagNone, CauseNone},
		{Init, AdminDown, Down, DiagNeighborDown, CauseNeighborAdminDown},
		{Init, Down, Init, DiagNone, CauseNone},
		{Init, Init, Up, DiagNone, CauseNone},
		{Init, Up, Up, DiagNone, CauseNone},
		{Up, AdminDown, Down, DiagNeighborDown, CauseNeighborAdminDown},
		{Up, Down, Down, DiagNeighborDown, CauseNeighborDown},
		{Up, Init, Up, DiagNone, CauseNone},
		{Up, Up, Up, DiagNone, CauseNone},
	}
	for _, tt := range tests {
		t.Run(tt.have.String()+" hears "+tt.heard.String(), func(t *testing.T) {
			m := in(t, tt.have, settings())
			hear(t, m, ms, peerPacket(tt.heard))
			if m.state != tt.want || m.diag != tt.diag || m.cause != tt.cause {
				t.Errorf("%s (%s, %q), want %s (%s, %q)", m.state, m.diag, m.cause, tt.want, tt.diag, tt.cause)
			}
		})
	}
}

// TestSilence is RFC 5880 §6.8.4 for each state.
func TestSilence(t *testing.T) {
	for s, want := range map[State]Diag{Down: DiagNone, Init: DiagDetectionExpired, Up: DiagDetectionExpired, AdminDown: DiagAdminDown} {
		t.Run(s.String(), func(t *testing.T) {
			m := in(t, s, settings())
			heard := Up // leaves Down, Up and AdminDown as they are
			if s == Init {
				heard = Down
			}
			hear(t, m, 0, peerPacket(heard))
			at := m.detectAt
			if wait := m.detection; at != wait || wait != 150*ms && s == Up || wait == 0 {
				t.Fatalf("detection after %s, due at %s", wait, at)
			}
			m.expire(at - 1)
			if m.diag == DiagDetectionExpired {
				t.Fatal("expired too soon")
			}
			m.expire(at)
			if m.diag != want || m.state == Up || m.state == Init {
				t.Errorf("%s (%s), want diagnostic %s", m.state, m.diag, want)
			}
			if m.remote != unheard() {
				t.Errorf("the peer is still known: %+v", m.remote)
			}
		})
	}
}

// TestDoubt: an expiry that is seen late gets a second look, and a packet that was waiting meanwhile counts.
func TestDoubt(t *testing.T) {
	m := in(t, Up, settings())
	m.expire(m.detectAt + 30*ms)
	if m.state != Up {
		t.Fatal("a late expiry took the session down without a second look")
	}
	if extra := m.detectAt - 180*ms; extra <= 0 || extra > 8*ms {
		t.Fatalf("the second look comes %s later", extra)
	}
	saved := *m
	hear(t, &saved, m.detectAt-1, peerPacket(Up))
	saved.expire(m.detectAt + 30*ms)
	if saved.state != Up {
		t.Error("the packet that was waiting did not count")
	}
	m.expire(m.detectAt + 30*ms)
	if m.state != Down || m.cause != CauseDetectionExpired || m.silence != 150*ms {
		t.Errorf("after the second look: %s, %s after %s", m.state, m.cause, m.silence)
	}
}

func TestPoll(t *testing.T) {
	m := in(t, Up, settings())
	if p := due(t, m, 0); !p.Has(FlagPoll) || p.DesiredTx != 50*ms {
		t.Fatalf("coming up does not poll: %+v", p)
	}
	final := peerPacket(Up)
	final.Flags = FlagFinal
	hear(t, m, ms, final)
	if m.polling {
		t.Fatal("the poll goes on after its answer")
	}

	t.Run("answer", func(t *testing.T) {
		poll := peerPacket(Up)
		poll.Flags = FlagPoll
		if !hear(t, m, 2*ms, poll) {
			t.Fatal("a poll stays unanswered")
		}
		if p := sent(t, m, true); !p.Has(FlagFinal) || p.Has(FlagPoll) {
			t.Errorf("the answer is %+v", p)
		}
	})
	t.Run("slower", func(t *testing.T) {
		set := settings()
		set.MinTx, set.MinRx = 200*ms, 20*ms
		m.apply(3*ms, set)
		if p := due(t, m, 3*ms); !p.Has(FlagPoll) || p.DesiredTx != 200*ms || p.RequiredRx != 20*ms {
			t.Fatalf("the new intervals are told as %+v", p)
		}
		if m.interval != 50*ms || m.detection != 150*ms {
			t.Fatalf("in use before the answer: %s, %s", m.interval, m.detection)
		}
		if p := sent(t, m, true); p.Has(FlagPoll) {
			t.Error("a packet has both bits")
		}
		fast := final
		fast.DesiredTx = 20 * ms
		hear(t, m, 4*ms, fast)
		if m.interval != 200*ms || m.detection != 60*ms || m.state != Up || m.downs != 0 {
			t.Errorf("in use after the answer: %s, %s, %s", m.interval, m.detection, m.state)
		}
	})
	t.Run("changed again meanwhile", func(t *testing.T) {
		set := settings()
		m.apply(5*ms, set)
		set.MinTx = 300 * ms
		m.apply(6*ms, set)
		hear(t, m, 7*ms, final)
		if !m.polling {
			t.Fatal("the answer to older values ended the poll")
		}
		hear(t, m, 8*ms, final)
		if m.polling || m.interval != 300*ms {
			t.Errorf("polling %v at %s", m.polling, m.interval)
		}
	})
}

func TestFasterTakesEffectAtOnce(t *testing.T) {
	set := settings()
	set.MinTx = time.Second
	m := in(t, Up, set)
	due(t, m, 0)
	m.apply(10*ms, settings())
	if m.interval != 50*ms || m.next() > 10*ms {
		t.Errorf("interval %s, next packet at %s", m.interval, m.next())
	}
}

// TestTold: what the peer could not know otherwise is told at once, in every state.
func TestTold(t *testing.T) {
	for _, s := range []State{Down, Init, Up} {
		for name, edit := range map[string]func(*Settings){
			"slower": func(s *Settings) { s.MinTx = 3 * time.Second }, "multiplier": func(s *Settings) { s.Multiplier = 9 },
		} {
			m := in(t, s, settings())
			due(t, m, 0)
			set := settings()
			edit(&set)
			m.apply(5*ms, set)
			if p := due(t, m, 5*ms); p.Multiplier != set.Multiplier || p.DesiredTx < set.MinTx {
				t.Errorf("%s, %s: %+v", s, name, p)
			}
		}
	}
}

// TestMorePatient: a longer detection time counts from the last packet, and does not wait for the next.
func TestMorePatient(t *testing.T) {
	m := in(t, Up, settings())
	hear(t, m, 10*ms, peerPacket(Up))
	set := settings()
	set.MinRx = 400 * ms
	m.apply(100*ms, set)
	if m.detectAt != 1210*ms {
		t.Errorf("the peer is given up at %s", m.detectAt)
	}
}

func TestSlowWhileDown(t *testing.T) {
	m := in(t, Down, settings())
	p := due(t, m, 0)
	if p.DesiredTx != time.Second || p.YourDiscr != 0 || p.State != Down {
		t.Errorf("the first packet is %+v", p)
	}
	if at := m.next(); at < 750*ms || at > time.Second {
		t.Errorf("the second packet is due at %s", at)
	}
}

// TestQuiet is who must not send, RFC 5880 §6.8.7.
func TestQuiet(t *testing.T) {
	t.Run("passive", func(t *testing.T) {
		set := settings()
		set.Passive = true
		m := in(t, Down, set)
		if m.next() != never {
			t.Fatal("a passive session speaks first")
		}
		hear(t, m, 5*ms, peerPacket(Down))
		if p := due(t, m, 5*ms); p.State != Init || p.YourDiscr != 2 {
			t.Errorf("its answer is %+v", p)
		}
		m.expire(m.detectAt)
		if m.next() != never {
			t.Error("it goes on after the peer has gone")
		}
	})
	t.Run("peer wants none", func(t *testing.T) {
		m := in(t, Up, settings())
		none := peerPacket(Up)
		none.RequiredRx = 0
		hear(t, m, ms, none)
		if m.nextTx != never {
			t.Error("packets go to a peer that wants none")
		}
		hear(t, m, 2*ms, peerPacket(Up))
		if m.nextTx == never {
			t.Error("no packets go to a peer that wants some again")
		}
	})
	t.Run("peer in demand mode", func(t *testing.T) {
		m := in(t, Up, settings())
		demand := peerPacket(Up)
		demand.Flags = FlagDemand | FlagFinal
		hear(t, m, ms, demand)
		if m.nextTx != never {
			t.Error("packets go to a peer in demand mode")
		}
		set := settings()
		set.MinRx = 70 * ms
		m.apply(2*ms, set)
		if p := due(t, m, 2*ms); !p.Has(FlagPoll) {
			t.Error("a poll does not")
		}
	})
}

func TestJitter(t *testing.T) {
	for multiplier, most := range map[uint8]time.Duration{1: 90 * ms, 3: 100 * ms} {
		m := in(t, Down, Settings{MinTx: ms, MinRx: ms, Multiplier: multiplier})
		low, high := time.Hour, time.Duration(0)
		for range 10000 {
			j := m.jittered(100 * ms)
			low, high = min(low, j), max(high, j)
		}
		if low < 75*ms || low > 76*ms || high > most || high < most-ms {
			t.Errorf("multiplier %d: from %s to %s", multiplier, low, high)
		}
	}
}

func TestPeerAsksForLess(t *testing.T) {
	m := in(t, Up, settings())
	due(t, m, 0)
	calm := peerPacket(Up)
	calm.RequiredRx, calm.DesiredTx, calm.Multiplier = 400*ms, 100*ms, 5
	hear(t, m, ms, calm)
	if m.interval != 400*ms || m.detection != 500*ms || m.next() < 300*ms || m.state != Up {
		t.Errorf("interval %s, detection %s, next at %s", m.interval, m.detection, m.next())
	}
}

func TestAdminDown(t *testing.T) {
	m := in(t, Up, settings())
	due(t, m, 0)
	set := settings()
	set.AdminDown = true
	m.apply(ms, set)
	if p := due(t, m, ms); p.State != AdminDown || p.Diag != DiagAdminDown || p.DesiredTx != time.Second {
		t.Errorf("the peer is told %+v", p)
	}
	if m.status(time.Time{}).Failed() {
		t.Error("an administrator's wish counts as a failure")
	}
	m.apply(2*ms, settings())
	hear(t, m, 3*ms, peerPacket(Down))
	if m.state != Init || m.cause != CauseNone {
		t.Errorf("afterwards it is %s (%s)", m.state, m.cause)
	}
}

func TestIndependent(t *testing.T) {
	m := in(t, Up, settings())
	if p := sent(t, m, false); p.Has(FlagIndependent) {
		t.Error("this side claims to outlive its control plane")
	}
	p := peerPacket(Up)
	p.Flags = FlagIndependent
	hear(t, m, ms, p)
	if !m.status(time.Time{}).RemoteIndependent {
		t.Error("the peer's claim is not shown")
	}
}

func TestFailed(t *testing.T) {
	tests := []struct {
		name   string
		status Status
		want   bool
	}{
		{"up", Status{State: Up, RemoteState: Up}, false},
		{"not up yet", Status{State: Down, RemoteState: Down}, false},
		{"silence", Status{State: Down, Cause: CauseDetectionExpired, RemoteState: Down}, true},
		{"coming back", Status{State: Init, Cause: CauseDetectionExpired, RemoteState: Down}, true},
		{"echo", Status{State: Down, Cause: CauseEchoFailed, RemoteState: Up}, true},
		{"neighbour down", Status{State: Down, Cause: CauseNeighborDown, RemoteState: Down}, true},
		{"neighbour's administrator", Status{State: Down, Cause: CauseNeighborAdminDown, RemoteState: AdminDown}, false},
		{"silence, then the neighbour's administrator", Status{State: Down, Cause: CauseDetectionExpired, RemoteState: AdminDown}, false},
		{"our administrator", Status{State: AdminDown, Cause: CauseAdminDown}, false},
	}
	for _, tt := range tests {
		if got := tt.status.Failed(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestEcho(t *testing.T) {
	set := settings()
	set.Echo = 20 * ms
	offer := peerPacket(Up)
	offer.RequiredEcho, offer.Flags = 30*ms, FlagFinal

	start := func(t *testing.T) *machine {
		m := in(t, Up, set)
		if m.echoAt != never {
			t.Fatal("echo packets go to a peer that does not offer to loop them")
		}
		hear(t, m, 0, offer)
		if !m.expire(0).echo || m.echoInterval != 30*ms {
			t.Fatalf("echo packets every %s", m.echoInterval)
		}
		return m
	}
	t.Run("never looped", func(t *testing.T) {
		m := start(t)
		for now := ms; now < time.Second; now += ms {
			hear(t, m, now, offer)
			m.expire(now)
		}
		if m.state != Up || m.requiredRx != 50*ms {
			t.Errorf("%s, wants packets every %s", m.state, m.requiredRx)
		}
	})
	t.Run("looped, then no more", func(t *testing.T) {
		m := start(t)
		m.echoed(ms)
		if p := due(t, m, ms); p.RequiredRx != time.Second || !p.Has(FlagPoll) {
			t.Fatalf("control packets do not slow down: %+v", p)
		}
		hear(t, m, 2*ms, offer)
		m.expire(90 * ms)
		if m.state != Up {
			t.Fatal("down too soon")
		}
		m.expire(91 * ms)
		if m.state != Down || m.diag != DiagEchoFailed || m.cause != CauseEchoFailed || m.silence != 90*ms {
			t.Errorf("%s (%s)", m.state, m.diag)
		}
		if m.requiredRx != 50*ms || m.echoAt != never {
			t.Errorf("down, it wants packets every %s and echoes at %s", m.requiredRx, m.echoAt)
		}
	})
	t.Run("withdrawn", func(t *testing.T) {
		m := start(t)
		m.echoed(ms)
		withdrawn := offer
		withdrawn.RequiredEcho = 0
		hear(t, m, 2*ms, withdrawn)
		m.expire(149 * ms)
		if m.state != Up || m.echoAt != never || m.echoDetectAt != never || m.requiredRx != 50*ms {
			t.Errorf("%s, echo at %s, wants packets every %s", m.state, m.echoAt, m.requiredRx)
		}
	})
}
