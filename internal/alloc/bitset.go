package alloc

import "math/bits"

// depth levels of 64 bits each reach 2^36 entries, more than memory could hold claims for.
const depth = 6

// bitset is a growing set of small numbers that finds its least member in a fixed number of steps: bit i of a level says
// that word i of the level below is not zero.
type bitset struct{ levels [depth][]uint64 }

func (b *bitset) add(i uint64) {
	for l := range b.levels {
		word, bit := i>>6, uint64(1)<<(i&63)
		for uint64(len(b.levels[l])) <= word {
			b.levels[l] = append(b.levels[l], 0)
		}
		was := b.levels[l][word]
		b.levels[l][word] |= bit
		if was != 0 {
			return
		}
		i = word
	}
}

func (b *bitset) remove(i uint64) {
	for l := range b.levels {
		word := i >> 6
		if word >= uint64(len(b.levels[l])) {
			return
		}
		b.levels[l][word] &^= 1 << (i & 63)
		if b.levels[l][word] != 0 {
			return
		}
		i = word
	}
}

// least returns the smallest member.
func (b *bitset) least() (uint64, bool) {
	if top := b.levels[depth-1]; len(top) == 0 || top[0] == 0 {
		return 0, false
	}
	i := uint64(0)
	for l := depth - 1; l >= 0; l-- {
		i = i<<6 | uint64(bits.TrailingZeros64(b.levels[l][i]))
	}
	return i, true
}
