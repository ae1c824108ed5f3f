package bfd

import (
	"crypto/md5"  //nolint:gosec // RFC 5880 §6.7.3 has it, and routers speak it
	"crypto/sha1" //nolint:gosec // RFC 5880 §6.7.4 has it, and routers speak it
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// AuthType is the way in which control packets are authenticated, RFC 5880 §4.1.
type AuthType uint8

// The types in the encoding of the wire. A meticulous one numbers every packet anew, so that none can be replayed.
const (
	AuthNone AuthType = iota
	AuthSimple
	AuthMD5
	AuthMeticulousMD5
	AuthSHA1
	AuthMeticulousSHA1
)

// Lengths of authentication sections, RFC 5880 §4.2 to §4.4.
const (
	authHeaderLen = 2
	digestOffset  = 8 // after type, length, key, reserved and sequence number
	md5Len        = digestOffset + md5.Size
	sha1Len       = digestOffset + sha1.Size
	maxPassword   = 16
)

// Auth says how the packets of a session are authenticated, both ways. The zero value means that they are not.
type Auth struct {
	Type AuthType
	// KeyID tells keys apart; both sides must agree on it.
	KeyID uint8
	// Secret has 1 to 16 bytes, up to 20 with SHA1.
	Secret string
}

// String leaves the secret out.
func (a Auth) String() string {
	return fmt.Sprintf("type %d, key %d", a.Type, a.KeyID)
}

// GoString leaves the secret out, too.
func (a Auth) GoString() string { return a.String() }

// The reasons for which a packet's authentication fails, RFC 5880 §6.7.
var (
	errAuthType     = errors.New("the authentication type is not ours")
	errAuthLength   = errors.New("the authentication section has a wrong length")
	errAuthKey      = errors.New("the key is not ours")
	errAuthSequence = errors.New("the sequence number is outside of the window")
	errAuthDigest   = errors.New("the password or digest is wrong")
)

func (a Auth) validate() error {
	longest := maxPassword
	switch {
	case a == Auth{}:
		return nil
	case a.Type == AuthNone || a.Type > AuthMeticulousSHA1:
		return fmt.Errorf("unknown authentication type %d", a.Type)
	case a.Type >= AuthSHA1:
		longest = sha1.Size
	}
	if len(a.Secret) == 0 || len(a.Secret) > longest {
		return fmt.Errorf("the secret must have 1 to %d bytes, not %d", longest, len(a.Secret))
	}
	return nil
}

func (a Auth) meticulous() bool { return a.Type == AuthMeticulousMD5 || a.Type == AuthMeticulousSHA1 }

// length of the authentication section.
func (a Auth) length() int {
	switch a.Type {
	case AuthNone:
		return 0
	case AuthSimple:
		return 3 + len(a.Secret)
	case AuthMD5, AuthMeticulousMD5:
		return md5Len
	}
	return sha1Len
}

// sign appends the authentication section to b, which holds a packet alone, and completes that packet's header.
func (a Auth) sign(b []byte, sequence uint32) []byte {
	n := a.length()
	if n == 0 {
		return b
	}
	b[1] |= byte(FlagAuth)
	b[3] = byte(headerLen + n)
	b = append(b, byte(a.Type), byte(n), a.KeyID)
	if a.Type == AuthSimple {
		return append(b, a.Secret...)
	}
	b = append(b, 0) // reserved
	b = binary.BigEndian.AppendUint32(b, sequence)
	var room [sha1.Size]byte
	b = append(b, room[:n-digestOffset]...)
	a.digest(b)
	return b
}

// digest puts the digest of a packet at its end.
func (a Auth) digest(packet []byte) {
	at := packet[headerLen+digestOffset:]
	clear(at)
	copy(at, a.Secret)
	if a.Type == AuthMD5 || a.Type == AuthMeticulousMD5 {
		sum := md5.Sum(packet) //nolint:gosec // see the import
		copy(at, sum[:])
		return
	}
	sum := sha1.Sum(packet) //nolint:gosec // see the import
	copy(at, sum[:])
}

// sequenceWindow is what is known of the peer's sequence numbers, RFC 5880 §6.8.1.
type sequenceWindow struct {
	known bool
	last  uint32
}

// verify checks the authentication section of a packet whose A bit is set, and moves the window. It leaves b as it was.
func (a Auth) verify(b []byte, multiplier uint8, w *sequenceWindow) error {
	section := b[headerLen:]
	if AuthType(section[0]) != a.Type {
		return errAuthType
	}
	n := a.length()
	if a.Type == AuthSimple {
		return a.verifyPassword(section)
	}
	if int(section[1]) != n || len(section) != n {
		return errAuthLength
	}
	if section[2] != a.KeyID {
		return errAuthKey
	}
	sequence := binary.BigEndian.Uint32(section[4:])
	if w.known && !a.inWindow(sequence-w.last, multiplier) {
		return errAuthSequence
	}
	var room [maxLen]byte
	mine := room[:copy(room[:], b)]
	a.digest(mine)
	if subtle.ConstantTimeCompare(mine[headerLen+digestOffset:], section[digestOffset:]) != 1 {
		return errAuthDigest
	}
	*w = sequenceWindow{known: true, last: sequence}
	return nil
}

func (a Auth) verifyPassword(section []byte) error {
	if len(section) < 4 || int(section[1]) != len(section) {
		return errAuthLength
	}
	if section[2] != a.KeyID {
		return errAuthKey
	}
	if subtle.ConstantTimeCompare(section[3:], []byte(a.Secret)) != 1 {
		return errAuthDigest
	}
	return nil
}

// inWindow tells whether a number that is ahead of the last one by so much is acceptable, RFC 5880 §6.7.3 and §6.7.4.
func (a Auth) inWindow(ahead uint32, multiplier uint8) bool {
	if a.meticulous() && ahead == 0 {
		return false
	}
	return ahead <= 3*uint32(multiplier)
}
