package bfd

import (
	"encoding/binary"
	"net/netip"
)

// session is a machine with its socket and its place in the schedule.
type session struct {
	*machine
	name Path // what the callers call it
	path Path // the same, plain

	sender Sender
	// problem says why there is no sender; packets are not sent then.
	problem string
	// leaveAt is when a session that is desired no longer is forgotten.
	leaveAt instant

	// Where the last packet came in, for echo packets.
	local   netip.Addr
	ifIndex int
	token   uint64

	at    instant // in the schedule
	index int
}

func (s *session) next() instant { return min(s.machine.next(), s.leaveAt) }

// accepts tells whether a packet from there can belong to the session.
func (s *session) accepts(scope Scope, from Meta) bool {
	bound := 0
	switch {
	case s.sender != nil:
		bound = s.sender.IfIndex()
	case s.path.Interface != "":
		return false // the interface is not there
	}
	return s.path.scope() == scope && s.path.Peer == from.Peer &&
		(!s.path.Local.IsValid() || s.path.Local == from.Local) && (bound == 0 || bound == from.IfIndex)
}

// fits ranks sessions that accept a packet: the more a session is tied down, the better.
func (s *session) fits() int {
	n := 0
	if s.path.Interface != "" {
		n += 2
	}
	if s.path.Local.IsValid() {
		n++
	}
	return n
}

// echoLen is the length of an echo packet's payload: a mark, the discriminator, the session's token.
const echoLen = 4 + 4 + 8

const echoMark = 0x42466563

// encodeEcho appends the payload of an echo packet. Only who saw one can make another: the token is random.
func (s *session) encodeEcho(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, echoMark)
	b = binary.BigEndian.AppendUint32(b, s.discr)
	return binary.BigEndian.AppendUint64(b, s.token)
}

// parseEcho returns the discriminator and the token of an echo packet of ours.
func parseEcho(b []byte) (discr uint32, token uint64, ok bool) {
	if len(b) < echoLen || binary.BigEndian.Uint32(b) != echoMark {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:]), true
}
