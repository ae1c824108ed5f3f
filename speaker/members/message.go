package members

import "encoding/binary"

// The first byte of every message of ours. Others are ignored, so that a
// later version can say more.
const (
	kindPiece byte = 'P' // a part of somebody's facts, passed on by gossip
	kindWhole byte = 'W' // all of the sender's facts, the answer to kindAsk
	kindAsk   byte = 'A' // the sender's name: give me your facts
	kindState byte = 'S' // many wholes, in a push/pull
)

const (
	// pieceBytes of facts and the header around them fit one packet beside
	// a ping, whatever the length of the node's name.
	pieceBytes = 1000
	// maxPieces bounds what is broadcast. Each member passes each piece on
	// several times, so above this size asking the owner is cheaper for all.
	maxPieces = 8
	// maxState bounds the facts in one push/pull, in bytes. Whatever is left
	// out is asked for.
	maxState = 4 << 20
)

// piece is a part of the facts of one member, or all of them.
type piece struct {
	owner string
	stamp stamp
	index uint64
	count uint64
	data  []byte
}

func (p piece) encode(kind byte) []byte {
	b := make([]byte, 0, 64+len(p.owner)+len(p.data))
	b = p.stamp.append(append(b, kind))
	b = appendField(b, p.owner)
	b = binary.AppendUvarint(b, p.index)
	b = binary.AppendUvarint(b, p.count)
	return append(b, p.data...)
}

// decodePiece reads what follows the kind. The data is a part of b.
func decodePiece(b []byte) (piece, error) {
	r := reader{rest: b}
	p := piece{stamp: r.stamp(), owner: string(r.field(maxName)), index: r.uvarint(), count: r.uvarint()}
	p.data = r.rest
	whole := p.count == 1 && uint64(len(p.data)) == p.stamp.size
	part := p.count > 1 && p.count <= maxPieces && len(p.data) <= pieceBytes
	if r.bad || p.owner == "" || p.stamp.sequence == 0 || p.index >= p.count || !whole && !part {
		return piece{}, errMalformed
	}
	return p, nil
}

// split cuts facts into pieces that fit a packet each; nil means that they are
// too large for that.
func split(owner string, s stamp, facts []byte) []piece {
	count := max(1, (len(facts)+pieceBytes-1)/pieceBytes)
	if count > maxPieces {
		return nil
	}
	pieces := make([]piece, count)
	for i := range pieces {
		part := facts[i*pieceBytes : min((i+1)*pieceBytes, len(facts))]
		pieces[i] = piece{owner: owner, stamp: s, index: uint64(i), count: uint64(count), data: part}
	}
	return pieces
}

func whole(owner string, s stamp, facts []byte) piece {
	return piece{owner: owner, stamp: s, count: 1, data: facts}
}

// encodeState packs as many wholes as maxState allows, in the order given.
func encodeState(wholes []piece) []byte {
	b := []byte{kindState}
	for _, p := range wholes {
		if len(b)+len(p.data) > maxState {
			break
		}
		b = appendField(b, p.encode(kindWhole)[1:])
	}
	return b
}

// decodeState reads what follows the kind: the pieces before the first
// malformed one, and whether there was one.
func decodeState(b []byte) ([]piece, error) {
	var pieces []piece
	for r := (reader{rest: b}); len(r.rest) > 0; {
		p, err := decodePiece(r.field(MaxFacts + 1024))
		if r.bad || err != nil {
			return pieces, errMalformed
		}
		pieces = append(pieces, p)
	}
	return pieces, nil
}

func encodeAsk(name string) []byte { return appendField([]byte{kindAsk}, name) }

func decodeAsk(b []byte) (string, error) {
	r := reader{rest: b}
	name := string(r.field(maxName))
	if r.bad || name == "" {
		return "", errMalformed
	}
	return name, nil
}
