package elect

import "net/netip"

// Score is the rendezvous score of a node for an address: the two are hashed apart and mixed once more.
//
// It is an agreement between versions: speakers of two versions must elect the same node, so golden vectors guard it.
func Score(addr netip.Addr, node string) uint64 { return mix(hashAddr(addr) ^ Hash(node)) }

const offset, prime = 14695981039346656037, 1099511628211

// Hash of a node's name: FNV-1a 64, then mix.
func Hash(node string) uint64 {
	h := uint64(offset)
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * prime
	}
	return mix(h)
}

// hashAddr is FNV-1a 64 over the 16 bytes of the address (IPv4 in its IPv4-mapped form), then mix.
func hashAddr(addr netip.Addr) uint64 {
	h := uint64(offset)
	for _, b := range addr.As16() {
		h = (h ^ uint64(b)) * prime
	}
	return mix(h)
}

// mix is the finalizer of MurmurHash3: it spreads FNV's weak last bytes over all bits.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
