package members

import (
	"encoding/binary"
	"errors"
)

// errMalformed is the only error of the decoders: what a foreign or broken
// message says is nothing to act upon in detail.
var errMalformed = errors.New("malformed message")

// reader takes a message apart. The first field that does not fit marks it as
// bad and every later field is zero, so callers check once, at the end.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	field := r.rest[:n:n]
	r.rest = r.rest[n:]
	return field
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// field reads bytes that carry their length in front, at most limit of them.
func (r *reader) field(limit uint64) []byte {
	n := r.uvarint()
	if n > limit {
		r.bad = true
		return nil
	}
	return r.take(n)
}

func appendField[T string | []byte](b []byte, field T) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}
