package bfd

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
)

// table finds the session that a packet belongs to.
type table struct {
	named   map[Path]*session
	byDiscr map[uint32]*session
	byPeer  map[netip.Addr][]*session
	due     schedule
}

func newTable() *table {
	return &table{named: map[Path]*session{}, byDiscr: map[uint32]*session{}, byPeer: map[netip.Addr][]*session{}}
}

func (t *table) add(s *session) {
	t.named[s.name] = s
	t.byDiscr[s.discr] = s
	t.byPeer[s.path.Peer] = append(t.byPeer[s.path.Peer], s)
	s.at = s.next()
	t.due.add(s)
}

func (t *table) remove(s *session) {
	delete(t.named, s.name)
	delete(t.byDiscr, s.discr)
	rest := slices.DeleteFunc(t.byPeer[s.path.Peer], func(o *session) bool { return o == s })
	t.byPeer[s.path.Peer] = rest
	if len(rest) == 0 {
		delete(t.byPeer, s.path.Peer)
	}
	t.due.remove(s)
}

// find demultiplexes, RFC 5880 §6.3: by the discriminator that the peer has from us, or by addresses as long as it has none. A
// discriminator alone is not believed: the packet must also come from the session's peer.
func (t *table) find(scope Scope, from Meta, discr uint32) *session {
	if discr != 0 {
		if s := t.byDiscr[discr]; s != nil && s.accepts(scope, from) {
			return s
		}
		return nil
	}
	var best *session
	for _, s := range t.byPeer[from.Peer] {
		if s.accepts(scope, from) && (best == nil || s.fits() > best.fits()) {
			best = s
		}
	}
	return best
}

// freshDiscr returns a discriminator that no session has. It is random, so that nobody off the path can guess it.
func (t *table) freshDiscr() uint32 {
	for {
		d := binary.BigEndian.Uint32(random(4))
		if d != 0 && t.byDiscr[d] == nil {
			return d
		}
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
