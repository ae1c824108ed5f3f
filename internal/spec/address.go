package spec

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// Family is an address family.
type Family uint8

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "IPv4" or "IPv6", as Kubernetes writes them.
func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// FamilyOf returns the family of an address. An IPv4-mapped IPv6 address counts as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Range is the addresses from From to To, both included, of one family. From is never above To.
type Range struct{ From, To netip.Addr }

// ParseRange reads a CIDR, a range "a-b" or a single address. A CIDR with host bits set is an error that names the two
// CIDRs it might have meant.
func ParseRange(s string) (Range, error) {
	s = strings.TrimSpace(s)
	switch {
	case strings.Contains(s, "/"):
		return parseCIDR(s)
	case strings.Contains(s, "-"):
		return parseFromTo(s)
	}
	a, err := parseAddr(s)
	if err != nil {
		return Range{}, fmt.Errorf("%q is no CIDR, no range and no address: write 192.0.2.0/28, 192.0.2.10-192.0.2.20 or 192.0.2.7", s)
	}
	return Range{a, a}, nil
}

func parseCIDR(s string) (Range, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Range{}, fmt.Errorf("%q is no CIDR: write an address and a prefix length, as in 192.0.2.0/28", s)
	}
	if p.Addr().Is4In6() {
		return Range{}, fmt.Errorf("%q is an IPv4-mapped IPv6 prefix: write it as IPv4", s)
	}
	if m := p.Masked(); m != p {
		return Range{}, fmt.Errorf("%q has host bits set: write %s for the whole network, or %s for the one address",
			s, m, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return rangeOf(p), nil
}

func parseFromTo(s string) (Range, error) {
	l, r, _ := strings.Cut(s, "-")
	from, err1 := parseAddr(l)
	to, err2 := parseAddr(r)
	if err := errors.Join(err1, err2); err != nil {
		return Range{}, fmt.Errorf("%q is no range: write two addresses, as in 192.0.2.10-192.0.2.20", s)
	}
	if from.Is4() != to.Is4() {
		return Range{}, fmt.Errorf("%q mixes IPv4 and IPv6: a range begins and ends in one family", s)
	}
	if to.Less(from) {
		return Range{}, fmt.Errorf("%q ends before it begins: write %s-%s", s, to, from)
	}
	return Range{from, to}, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return a, err
	}
	if a.Zone() != "" {
		return a, fmt.Errorf("%s has a zone", a)
	}
	return a.Unmap(), nil
}

// rangeOf returns all addresses of a prefix.
func rangeOf(p netip.Prefix) Range { return Range{p.Masked().Addr(), LastOf(p)} }

// LastOf returns the highest address of a prefix.
func LastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Contains tells whether a lies within the range.
func (r Range) Contains(a netip.Addr) bool {
	return a.BitLen() == r.From.BitLen() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
}

// Overlaps tells whether the two ranges have an address in common.
func (r Range) Overlaps(o Range) bool {
	return r.From.BitLen() == o.From.BitLen() && r.From.Compare(o.To) <= 0 && o.From.Compare(r.To) <= 0
}

// Family returns the family of the range.
func (r Range) Family() Family { return FamilyOf(r.From) }

// Size returns the number of addresses, math.MaxInt64 where there are more.
func (r Range) Size() int64 {
	from, to := new(big.Int).SetBytes(r.From.AsSlice()), new(big.Int).SetBytes(r.To.AsSlice())
	n := to.Sub(to, from)
	if n.Add(n, big.NewInt(1)); n.IsInt64() {
		return n.Int64()
	}
	return math.MaxInt64
}

// String returns the range as a user would write it: one address, or "from-to".
func (r Range) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}

// Merge sorts ranges and joins those that touch or overlap, so that the result is disjoint and ascending, IPv4 first.
func Merge(ranges []Range) []Range { return merge(slices.Clone(ranges)) }

// merge does so in place.
func merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && touches(out[n-1], r) {
			if out[n-1].To.Less(r.To) {
				out[n-1].To = r.To
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// touches tells whether b, which does not begin before a, overlaps a or follows it without a gap.
func touches(a, b Range) bool {
	return a.From.BitLen() == b.From.BitLen() && (b.From.Compare(a.To) <= 0 || a.To.Next() == b.From)
}

// Subtract returns what is left of ranges when out is taken away, disjoint and ascending.
func Subtract(ranges, out []Range) []Range {
	left := Merge(ranges)
	for _, o := range Merge(out) {
		var next []Range
		for _, r := range left {
			next = append(next, r.without(o)...)
		}
		left = next
	}
	return left
}

func (r Range) without(o Range) []Range {
	if !r.Overlaps(o) {
		return []Range{r}
	}
	var parts []Range
	if r.From.Less(o.From) {
		parts = append(parts, Range{r.From, o.From.Prev()})
	}
	if o.To.Less(r.To) {
		parts = append(parts, Range{o.To.Next(), r.To})
	}
	return parts
}

// RangesOf writes addresses as ranges: sorted, neighbours joined.
func RangesOf(addrs []netip.Addr) []Range {
	rs := make([]Range, len(addrs))
	for i, a := range addrs {
		rs[i] = Range{a, a}
	}
	return merge(rs)
}
