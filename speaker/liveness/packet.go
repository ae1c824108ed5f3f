package liveness

import (
	"crypto/sha256"
	"encoding/binary"
)

// A packet, in this order; a reply repeats the request's nonce and sequence number and turns the names round.
//
//	magic "BLV1" · kind (1) · nonce (16) · sequence (8) · length, name of the sender · length, name of the receiver · HMAC (32)
const (
	magic     = "BLV1"
	nonceLen  = 16
	maxName   = 253 // as Kubernetes allows
	headerLen = len(magic) + 1 + nonceLen + 8
	maxPacket = headerLen + 2*(1+maxName) + sha256.Size
)

const (
	kindRequest byte = 1
	kindReply   byte = 2
)

type packet struct {
	kind     byte
	nonce    [nonceLen]byte // random, of the prober's socket
	sequence uint64
	from, to string
}

// encode appends the packet, signed, to an empty b.
func (p packet) encode(b, key []byte) []byte {
	b = append(append(b, magic...), p.kind)
	b = append(b, p.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, p.sequence)
	b = append(append(b, byte(len(p.from))), p.from...)
	b = append(append(b, byte(len(p.to))), p.to...)
	return sign(b, key, b)
}

// decode takes a packet apart; what it returns is true only if the mac is right for signed, both parts of b.
func decode(b []byte) (p packet, signed, mac []byte, ok bool) {
	if len(b) < headerLen || len(b) > maxPacket || string(b[:len(magic)]) != magic {
		return p, nil, nil, false
	}
	p.kind = b[len(magic)]
	rest := b[len(magic)+1:]
	rest = rest[copy(p.nonce[:], rest):]
	p.sequence = binary.BigEndian.Uint64(rest)
	rest = rest[8:]
	if p.from, rest, ok = name(rest); !ok {
		return p, nil, nil, false
	}
	if p.to, rest, ok = name(rest); !ok || len(rest) != sha256.Size {
		return p, nil, nil, false
	}
	return p, b[:len(b)-len(rest)], rest, true
}

func name(b []byte) (string, []byte, bool) {
	if len(b) == 0 || int(b[0]) > maxName || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	return string(b[1 : 1+b[0]]), b[1+b[0]:], true
}

// reply turns a request round.
func (p packet) reply() packet {
	p.kind, p.from, p.to = kindReply, p.to, p.from
	return p
}
