package bfd

import (
	"fmt"
	"time"
)

// Running is how the desired paths truly are.
type Running struct {
	// Sessions has an entry for every desired path with valid settings.
	Sessions map[Path]Status
	// Problems says, in words, why a path is not watched at all, or not for now: its settings are wrong, another program has the port,
	// the interface is missing. Whatever may pass is tried again every second.
	Problems map[Path]string
}

// Status of one session.
type Status struct {
	State State
	// Cause says why the session is not up.
	Cause Cause
	// Silence is the detection time that expired, if that is the cause.
	Silence time.Duration
	// Diag is what this side tells the peer, RemoteDiag what the peer says.
	Diag, RemoteDiag Diag
	RemoteState      State
	// RemoteIndependent: the peer's BFD outlives its control plane (the C bit), so that its silence during a restart of that means that
	// the path has failed (RFC 5882 §4.3). Ours never does: packets of this side have the bit clear.
	RemoteIndependent bool
	// Since is when the state was entered.
	Since time.Time
	// Interval is the one at which packets are sent, before jitter, or 0 if none are; Detection is the silence after which
	// the peer counts as gone.
	Interval, Detection time.Duration
	// Echo is the interval of echo packets, or 0; Echoed tells whether the peer loops them.
	Echo   time.Duration
	Echoed bool
	// Discr and RemoteDiscr are the discriminators.
	Discr, RemoteDiscr uint32
	// Ups and Downs count how often the session came up, and how often it left that state for whatever cause.
	Ups, Downs uint64
}

// Failed tells whether the path was seen to fail. A session that has not been up yet and one that was taken down by an
// administrator of either side have not failed (RFC 5882 §3.2 and §4.2).
func (s Status) Failed() bool {
	if s.State == Up || s.RemoteState == AdminDown {
		return false
	}
	return s.Cause == CauseDetectionExpired || s.Cause == CauseEchoFailed || s.Cause == CauseNeighborDown
}

// Why says in words why the session is not up; it is empty if it is, or has not been yet.
func (s Status) Why() string {
	switch s.Cause {
	case CauseDetectionExpired:
		return fmt.Sprintf("detection time expired after %s", s.Silence)
	case CauseEchoFailed:
		return fmt.Sprintf("no echo came back for %s", s.Silence)
	case CauseNeighborDown:
		return fmt.Sprintf("the neighbour says it is down (%s)", s.RemoteDiag)
	case CauseNeighborAdminDown:
		return "the neighbour is administratively down"
	case CauseAdminDown:
		return "administratively down"
	}
	return ""
}

func (m *machine) status(start time.Time) Status {
	return Status{
		State: m.state, Cause: m.cause, Silence: m.silence, Diag: m.diag, RemoteDiag: m.remote.diag, RemoteState: m.remote.state,
		RemoteIndependent: m.remote.independent,
		Since:             start.Add(m.since), Interval: m.interval, Detection: m.detection, Echo: m.echoInterval, Echoed: m.echoing,
		Discr: m.discr, RemoteDiscr: m.remote.discr, Ups: m.ups, Downs: m.downs,
	}
}
