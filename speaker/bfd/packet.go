package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Ports of RFC 5881 §4 and RFC 5883 §5.
const (
	PortSingleHop = 3784
	PortEcho      = 3785
	PortMultiHop  = 4784
)

// Lengths in bytes, RFC 5880 §4.
const (
	headerLen = 24
	maxLen    = headerLen + sha1Len // the longest authentication section
)

const version = 1

// State of a session, RFC 5880 §4.1.
type State uint8

// The states in the encoding of the wire.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the name that the RFC gives the state.
func (s State) String() string {
	switch s {
	case AdminDown:
		return "AdminDown"
	case Down:
		return "Down"
	case Init:
		return "Init"
	case Up:
		return "Up"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Diag is the diagnostic code of RFC 5880 §4.1: why a session last left the state Up.
type Diag uint8

// The diagnostics in the encoding of the wire.
const (
	DiagNone Diag = iota
	DiagDetectionExpired
	DiagEchoFailed
	DiagNeighborDown
	DiagForwardingReset
	DiagPathDown
	DiagConcatenatedDown
	DiagAdminDown
	DiagReverseConcatenatedDown
)

// String returns the diagnostic in words.
func (d Diag) String() string {
	switch d {
	case DiagNone:
		return "no diagnostic"
	case DiagDetectionExpired:
		return "control detection time expired"
	case DiagEchoFailed:
		return "echo function failed"
	case DiagNeighborDown:
		return "neighbor signaled session down"
	case DiagForwardingReset:
		return "forwarding plane reset"
	case DiagPathDown:
		return "path down"
	case DiagConcatenatedDown:
		return "concatenated path down"
	case DiagAdminDown:
		return "administratively down"
	case DiagReverseConcatenatedDown:
		return "reverse concatenated path down"
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// Flags in the second byte of a packet, RFC 5880 §4.1.
type Flags uint8

// The flags in the encoding of the wire.
const (
	FlagMultipoint Flags = 1 << iota
	FlagDemand
	FlagAuth
	FlagIndependent // C: the control plane has no part in this
	FlagFinal
	FlagPoll
)

// Packet is a control packet without its authentication section, RFC 5880 §4.1.
type Packet struct {
	Diag         Diag
	State        State
	Flags        Flags
	Multiplier   uint8
	MyDiscr      uint32
	YourDiscr    uint32
	DesiredTx    time.Duration // whole microseconds, as are the next two
	RequiredRx   time.Duration
	RequiredEcho time.Duration // zero: no echo packets, please
}

// Has reports whether all of the flags are set.
func (p *Packet) Has(f Flags) bool { return p.Flags&f == f }

// The reasons for which Parse refuses a packet.
var (
	ErrShort      = errors.New("the packet is shorter than its length field, or than any packet may be")
	ErrVersion    = errors.New("the version is not 1")
	ErrMultiplier = errors.New("the detection multiplier is zero")
	ErrMultipoint = errors.New("the multipoint bit is set")
	ErrDiscr      = errors.New("my discriminator is zero")
	ErrNoSession  = errors.New("your discriminator is zero in a state that has one")
)

// Parse reads a control packet into p, with the checks of RFC 5880 §6.8.6 that need no session, and returns the part of b that the
// packet's length covers. What authentication section there is, is unchecked. It allocates nothing.
func (p *Packet) Parse(b []byte) ([]byte, error) {
	if len(b) < headerLen {
		return nil, ErrShort
	}
	if b[0]>>5 != version {
		return nil, ErrVersion
	}
	*p = Packet{
		Diag: Diag(b[0] & 0x1f), State: State(b[1] >> 6), Flags: Flags(b[1] & 0x3f), Multiplier: b[2],
		MyDiscr: binary.BigEndian.Uint32(b[4:]), YourDiscr: binary.BigEndian.Uint32(b[8:]),
		DesiredTx: micros(b[12:]), RequiredRx: micros(b[16:]), RequiredEcho: micros(b[20:]),
	}
	length, least := int(b[3]), headerLen
	if p.Has(FlagAuth) {
		least += authHeaderLen
	}
	switch {
	case length < least || length > len(b):
		return nil, ErrShort
	case p.Multiplier == 0:
		return nil, ErrMultiplier
	case p.Has(FlagMultipoint):
		return nil, ErrMultipoint
	case p.MyDiscr == 0:
		return nil, ErrDiscr
	case p.YourDiscr == 0 && p.State > Down:
		return nil, ErrNoSession
	}
	return b[:length], nil
}

// Append appends the packet in the form of the wire, without an authentication section. Intervals are cut to whole microseconds
// of 32 bits. It allocates nothing if b has room.
func (p *Packet) Append(b []byte) []byte {
	b = append(b, version<<5|byte(p.Diag)&0x1f, byte(p.State)<<6|byte(p.Flags)&0x3f, p.Multiplier, headerLen)
	b = binary.BigEndian.AppendUint32(b, p.MyDiscr)
	b = binary.BigEndian.AppendUint32(b, p.YourDiscr)
	b = binary.BigEndian.AppendUint32(b, toMicros(p.DesiredTx))
	b = binary.BigEndian.AppendUint32(b, toMicros(p.RequiredRx))
	return binary.BigEndian.AppendUint32(b, toMicros(p.RequiredEcho))
}

func micros(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

func toMicros(d time.Duration) uint32 {
	return uint32(min(max(d, 0)/time.Microsecond, 1<<32-1))
}
