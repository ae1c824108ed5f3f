package members

import (
	"crypto/sha256"
	"encoding/binary"
)

const (
	// MaxFacts is the largest blob that Publish takes, in bytes.
	MaxFacts = 256 << 10

	metaMagic   = 0xBE // first byte of our node metadata
	maxSoftware = 64   // bytes of a version string that travel
	maxName     = 253  // bytes of a node name, as Kubernetes allows
)

// version orders the facts of one member: by the start of its process, then
// by count within it.
type version struct {
	incarnation uint64 // start of the process, nanoseconds since 1970
	sequence    uint64 // 0 means that nothing was published yet
}

func (v version) newerThan(o version) bool {
	if v.incarnation != o.incarnation {
		return v.incarnation > o.incarnation
	}
	return v.sequence > o.sequence
}

// stamp identifies one blob of facts.
type stamp struct {
	version
	size   uint64
	digest uint64 // first eight bytes of the blob's SHA-256
}

func newStamp(v version, facts []byte) stamp {
	sum := sha256.Sum256(facts)
	return stamp{version: v, size: uint64(len(facts)), digest: binary.BigEndian.Uint64(sum[:])}
}

func (s stamp) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.incarnation)
	b = binary.AppendUvarint(b, s.sequence)
	b = binary.AppendUvarint(b, s.size)
	return binary.BigEndian.AppendUint64(b, s.digest)
}

func (r *reader) stamp() stamp {
	s := stamp{version: version{r.uint64(), r.uvarint()}, size: r.uvarint(), digest: r.uint64()}
	if s.size > MaxFacts {
		r.bad = true
	}
	return s
}

// meta is what a member says in its node metadata.
type meta struct {
	state    State
	software string
	facts    stamp
}

// encode stays below 110 bytes, far from memberlist's 512. Later versions
// append fields; today's readers skip them.
func (m meta) encode() []byte {
	b := m.facts.append([]byte{metaMagic, byte(m.state)})
	return appendField(b, m.software[:min(len(m.software), maxSoftware)])
}

// decodeMeta never fails: a member whose metadata is foreign is a member all
// the same, one that is starting and has published nothing.
func decodeMeta(b []byte) meta {
	r := reader{rest: b}
	magic := r.byte()
	m := meta{state: State(r.byte()).known(), facts: r.stamp(), software: string(r.field(maxSoftware))}
	if r.bad || magic != metaMagic {
		return meta{}
	}
	return m
}
