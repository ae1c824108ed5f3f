package alloc

import (
	"cmp"
	"encoding/hex"
	"hash/fnv"
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// claim is what the table remembers of a Service. There may be a hundred thousand of them: it is kept small.
type claim struct {
	name    string
	uid     uint64 // see uidBits
	created uint32 // see seconds
	since   uint32 // see heldSince
	kind    uint32 // number of the namespace, shifted left by eight, and the shape
	chain   uint32
	first   uint32 // its first holding
	seen    uint32 // what its status held when it was last looked at, see statusHash
}

func (c *claim) link() *uint32                 { return &c.chain }
func (c *claim) hash(seed maphash.Seed) uint64 { return claimHash(seed, c.space(), c.name) }

func (c *claim) space() uint32    { return c.kind >> 8 }
func (c *claim) reserves() bool   { return c.shape()&reserves != 0 }
func (c *claim) shape() shape     { return shape(c.kind) }
func (c *claim) setShape(s shape) { c.kind = c.kind&^0xff | uint32(s) }

func claimHash(seed maphash.Seed, space uint32, name string) uint64 {
	return maphash.String(seed, name) + uint64(space)*0x9e3779b97f4a7c15
}

// holding is one address in the hands of one claim.
type holding struct {
	number
	claim uint32
	chain uint32
	next  uint32 // the claim's next holding
	mark  uint32 // number of the pool, shifted left by two; then counted, leaving
}

func (h *holding) link() *uint32                 { return &h.chain }
func (h *holding) hash(seed maphash.Seed) uint64 { return numberHash(seed, h.number) }

func numberHash(seed maphash.Seed, n number) uint64 { return maphash.Comparable(seed, n) }

func (h *holding) pool() uint32     { return h.mark >> 2 }
func (h *holding) setPool(p uint32) { h.mark = p<<2 | h.mark&3 }

// leaving: the Service asks for this address no more, but its status still shows it. Until that is seen to have changed
// nobody else may have it.
func (h *holding) leaving() bool     { return h.mark&leaving != 0 }
func (h *holding) setLeaving(b bool) { h.set(leaving, b) }

// counted: of all holders of the address it is this one whose namespace it counts for.
func (h *holding) counted() bool     { return h.mark&counted != 0 }
func (h *holding) setCounted(b bool) { h.set(counted, b) }

const (
	leaving = 1 << iota
	counted
)

func (h *holding) set(bit uint32, b bool) {
	h.mark &^= bit
	if b {
		h.mark |= bit
	}
}

// shape is the families of a Service, in its order, and its policy: bits 0 and 1 are the families (IPv4; IPv6; IPv4, IPv6;
// IPv6, IPv4), 2 and 3 the policy. Bit 4 makes it the shape of a reservation.
type shape uint8

const reserves shape = 1 << 4

func shapeOf(s *spec.Service) shape {
	p := shape(s.Policy) << 2
	six := func(i int) shape { return shape(family(s.Families[i])) }
	other := slices.IndexFunc(s.Families, func(f spec.Family) bool { return f != s.Families[0] })
	switch {
	case len(s.Families) == 0:
		return p
	case s.Policy == spec.SingleStack || other < 0:
		return p | six(0)
	}
	return p | 2 | six(0)
}

// families are indexes, in the Service's order.
func (s shape) families() iter.Seq[int] {
	return func(yield func(int) bool) {
		first := int(s & 1)
		if yield(first) && s&2 != 0 {
			yield(1 - first)
		}
	}
}

func (s shape) count() int { return 1 + int(s&2>>1) }

func (s shape) policy() spec.DualStack { return spec.DualStack(s >> 2 & 3) }

func (s shape) wants(family int) bool { return s&2 != 0 || int(s&1) == family }

// family is the index of a family.
func family(f spec.Family) int {
	if f == spec.IPv6 {
		return 1
	}
	return 0
}

func familyName(f int) string { return [2]string{"IPv4", "IPv6"}[f] }

// age orders claims: who has held for longest, then the Service created first, then UID and name, so that two are never
// equal.
type age struct {
	since, created uint32
	uid            uint64
	key            types.NamespacedName
	reserves       bool
}

func ageOf(a *ask) age {
	return age{heldSince(a.HeldSince), seconds(a.Created), uidBits(a.UID), a.Key, a.reserves}
}

func (a age) compare(b age) int {
	return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.created, b.created), cmp.Compare(a.uid, b.uid), byCreation(a, b))
}

// byCreation orders those who wait: created first, then by name; a reservation before a Service of the same name.
func byCreation(a, b age) int {
	order := cmp.Or(cmp.Compare(a.created, b.created), compareKeys(a.key, b.key))
	if order == 0 && a.reserves != b.reserves {
		order = 1
		if a.reserves {
			order = -1
		}
	}
	return order
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// seconds since 1970: Kubernetes writes its times no finer.
func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32)) }

// heldSince puts those who never held for certain behind all others.
func heldSince(t time.Time) uint32 {
	if t.IsZero() {
		return math.MaxUint32
	}
	return seconds(t)
}

// uidBits is the first half of a UUID, which sorts as the UUID does; of any other UID, a hash.
func uidBits(u types.UID) uint64 {
	var b [8]byte
	if s := string(u); len(s) == 36 && s[8] == '-' && s[13] == '-' {
		if _, err := hex.Decode(b[:], []byte(s[:8]+s[9:13]+s[14:18])); err == nil {
			return be64(b)
		}
	}
	h := fnv.New64a()
	h.Write([]byte(u))
	return h.Sum64()
}

func be64(b [8]byte) (n uint64) {
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

// statusHash tells one list of addresses from another.
func statusHash(s *spec.Service) uint32 {
	h := uint64(len(s.Held))
	for _, a := range s.Held {
		n := numberOf(a)
		h = (h ^ n.hi) * 0x9e3779b97f4a7c15
		h = (h ^ h>>32 ^ n.lo) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return uint32(h>>32) ^ uint32(h)
}
