package speaker

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// maxAddresses bounds what one list of claims may stand for: a range is short to write and long to keep.
const maxAddresses = 1 << 18

var errTooMany = errors.New("ranges of more addresses than any node could have")

// pack writes claims as they travel: those alike together, their addresses as ranges.
func pack(list []plan.Claim) []claims {
	type kind struct {
		epoch uint64
		from  string
		fresh bool
	}
	by := map[kind][]netip.Addr{}
	for _, c := range list {
		k := kind{c.Epoch, c.From, c.Fresh}
		by[k] = append(by[k], c.Addr)
	}
	var out []claims
	for _, k := range slices.SortedFunc(maps.Keys(by), func(a, b kind) int {
		if a.epoch == b.epoch && a.from == b.from && a.fresh != b.fresh {
			if b.fresh {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.from, b.from))
	}) {
		out = append(out, claims{k.epoch, k.from, k.fresh, ranges(by[k])})
	}
	return out
}

// unpack reads them; the claims come out by address.
func unpack(packed []claims) ([]plan.Claim, error) {
	var out []plan.Claim
	for _, c := range packed {
		addrs, err := expand(c.Addresses)
		if err != nil {
			return nil, err
		}
		if len(out)+len(addrs) > maxAddresses {
			return nil, errTooMany
		}
		for _, a := range addrs {
			out = append(out, plan.Claim{Addr: a, Epoch: c.Epoch, From: c.From, Fresh: c.Fresh})
		}
	}
	slices.SortStableFunc(out, func(a, b plan.Claim) int { return a.Addr.Compare(b.Addr) })
	return slices.CompactFunc(out, func(a, b plan.Claim) bool { return a.Addr == b.Addr }), nil
}

func packCeded(list []plan.Cession) []cessions {
	type kind struct {
		to    string
		epoch uint64
	}
	by := map[kind][]netip.Addr{}
	for _, c := range list {
		k := kind{c.To, c.Epoch}
		by[k] = append(by[k], c.Addr)
	}
	var out []cessions
	for _, k := range slices.SortedFunc(maps.Keys(by), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.epoch, b.epoch))
	}) {
		out = append(out, cessions{k.to, k.epoch, ranges(by[k])})
	}
	return out
}

// expand lists the addresses of ranges.
func expand(list []string) (out []netip.Addr, _ error) {
	for _, s := range list {
		r, err := spec.ParseRange(s)
		if err != nil {
			return nil, err
		}
		if r.Size() > int64(maxAddresses-len(out)) {
			return nil, errTooMany
		}
		for a := r.From; ; a = a.Next() {
			out = append(out, a)
			if a == r.To {
				break
			}
		}
	}
	return out, nil
}

// equalFacts tells whether the others would hear the same.
func equalFacts(a, b plan.Facts) bool {
	return slices.Equal(a.Claims, b.Claims) && slices.Equal(a.Ceded, b.Ceded) && maps.Equal(a.Heard, b.Heard) &&
		maps.EqualFunc(a.Absent, b.Absent, slices.Equal[[]plan.Claim])
}
