package alloc

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
)

// number is an address as 128 bits, IPv4 in its mapped form, without the pointer that a netip.Addr carries.
type number struct{ hi, lo uint64 }

func numberOf(a netip.Addr) number {
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (n number) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.hi)
	binary.BigEndian.PutUint64(b[8:], n.lo)
	return netip.AddrFrom16(b).Unmap()
}

func (n number) compare(o number) int {
	return cmp.Or(cmp.Compare(n.hi, o.hi), cmp.Compare(n.lo, o.lo))
}

// family is 0 for IPv4 and 1 for IPv6, an index into pairs of things.
func (n number) family() int {
	if n.hi == 0 && n.lo>>32 == 0xffff {
		return 0
	}
	return 1
}

func (n number) plus(offset uint64) number {
	lo, carry := bits.Add64(n.lo, offset, 0)
	return number{n.hi + carry, lo}
}

// minus returns n - o for o not above n, MaxUint64 where the difference is larger.
func (n number) minus(o number) uint64 {
	lo, borrow := bits.Sub64(n.lo, o.lo, 0)
	if n.hi-o.hi-borrow > 0 {
		return math.MaxUint64
	}
	return lo
}
