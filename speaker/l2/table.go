package l2

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"sync/atomic"
)

// role is how an address is treated on one socket.
type role uint8

const (
	absent   role = iota
	silent        // listened for, not answered: it is being probed, or only watched
	owned         // answered with the interface's own hardware address
	standing      // answered in another station's stead
)

// answer is what a neighbour that asks for an address is told. The zero answer is none.
type answer struct {
	role role
	// watch: somebody else's claim to the address is of interest.
	watch bool
	// mac is the station that the answer names; the frame itself always comes from the interface's own.
	mac        MAC
	generation uint64
}

func (a answer) speaks() bool { return a.role == owned || a.role == standing }

// lookup finds the answer for a target.
type lookup func(netip.Addr) answer

// table maps the addresses of one socket to their answers. Its maps are never changed once they are in use: readers take
// the current one from an atomic pointer and need no lock. There are many, so that one address is exchanged at the cost of
// a few others, however many there are in all.
type table [256]atomic.Pointer[map[netip.Addr]answer]

// shard spreads by the last 32 bits, in which addresses differ most, all of them multiplied into the topmost eight.
func shard(a netip.Addr) uint8 {
	b := a.As16()
	return uint8(binary.BigEndian.Uint32(b[12:]) * 0x9E3779B1 >> 24)
}

func (t *table) find(a netip.Addr) answer {
	if m := t[shard(a)].Load(); m != nil {
		return (*m)[a]
	}
	return answer{}
}

// update exchanges answers; those that are now absent go.
func (t *table) update(changes map[netip.Addr]answer) {
	fresh := map[uint8]map[netip.Addr]answer{}
	for a, to := range changes {
		i := shard(a)
		m, ok := fresh[i]
		if !ok {
			m = t.copyOf(i)
			fresh[i] = m
		}
		if to.role == absent {
			delete(m, a)
		} else {
			m[a] = to
		}
	}
	for i, m := range fresh {
		t[i].Store(&m)
	}
}

func (t *table) copyOf(i uint8) map[netip.Addr]answer {
	if m := t[i].Load(); m != nil {
		return maps.Clone(*m)
	}
	return map[netip.Addr]answer{}
}

// all calls yield for each address and its answer.
func (t *table) all(yield func(netip.Addr, answer) bool) {
	for i := range t {
		if m := t[i].Load(); m != nil {
			for a, to := range *m {
				if !yield(a, to) {
					return
				}
			}
		}
	}
}
