package spec

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Communities is a set of BGP communities of all kinds, each list sorted and without repetitions.
type Communities struct {
	Standard []uint32    // RFC 1997
	Large    [][3]uint32 // RFC 8092
	Extended [][8]byte   // RFC 4360, as on the wire
}

// Join returns the communities of both.
func (c Communities) Join(o Communities) Communities {
	return Communities{
		Standard: union(c.Standard, o.Standard, cmp.Compare[uint32]),
		Large:    union(c.Large, o.Large, func(a, b [3]uint32) int { return slices.Compare(a[:], b[:]) }),
		Extended: union(c.Extended, o.Extended, func(a, b [8]byte) int { return slices.Compare(a[:], b[:]) }),
	}
}

// Empty tells whether there is none.
func (c Communities) Empty() bool { return len(c.Standard)+len(c.Large)+len(c.Extended) == 0 }

func union[T comparable](a, b []T, compare func(a, b T) int) []T {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// wellKnown are the communities of IANA's registry that have a name here.
func wellKnown() map[string]uint32 {
	return map[string]uint32{
		"graceful-shutdown": 0xffff0000, // RFC 8326
		"blackhole":         0xffff029a, // RFC 7999
		"no-export":         0xffffff01, // RFC 1997
		"no-advertise":      0xffffff02,
		"local-as":          0xffffff03, // there NO_EXPORT_SUBCONFED
		"no-peer":           0xffffff04, // RFC 3765
	}
}

// ParseCommunity reads one community: "64500:100", "large:64500:1:2", "rt:64500:100", "soo:192.0.2.1:100",
// "ext:0002fbf400000064" or the name of a well-known one.
func ParseCommunity(s string) (Communities, error) {
	if v, ok := wellKnown()[s]; ok {
		return Communities{Standard: []uint32{v}}, nil
	}
	kind, rest, _ := strings.Cut(s, ":")
	var c Communities
	var ok bool
	switch kind {
	case "large":
		c.Large, ok = parseLarge(rest)
	case "rt":
		c.Extended, ok = parseExtended(rest, 2)
	case "soo":
		c.Extended, ok = parseExtended(rest, 3)
	case "ext":
		c.Extended, ok = parseRaw(rest)
	default:
		c.Standard, ok = parseStandard(s)
	}
	if !ok {
		return Communities{}, fmt.Errorf("%q is no community: write 64500:100 (each part up to 65535), large:64500:1:2, rt:64500:100, soo:64500:100, ext: and 16 hexadecimal digits, or a well-known name", s)
	}
	return c, nil
}

// numbers reads decimal numbers joined by colons, each of so many bits.
func numbers(s string, bits ...int) ([]uint32, bool) {
	parts := strings.Split(s, ":")
	if len(parts) != len(bits) {
		return nil, false
	}
	var out []uint32
	for i, size := range bits {
		n, err := strconv.ParseUint(parts[i], 10, size)
		if err != nil {
			return nil, false
		}
		out = append(out, uint32(n))
	}
	return out, true
}

func parseStandard(s string) ([]uint32, bool) {
	n, ok := numbers(s, 16, 16)
	if !ok {
		return nil, false
	}
	return []uint32{n[0]<<16 | n[1]}, true
}

func parseLarge(s string) ([][3]uint32, bool) {
	n, ok := numbers(s, 32, 32, 32)
	if !ok {
		return nil, false
	}
	return [][3]uint32{{n[0], n[1], n[2]}}, true
}

// parseExtended reads a route target or route origin: with a 2-octet ASN or an IPv4 address (RFC 4360) or a 4-octet ASN
// (RFC 5668) as its administrator.
func parseExtended(s string, subtype byte) ([][8]byte, bool) {
	c := [8]byte{1: subtype}
	administrator, number, _ := strings.Cut(s, ":")
	if a, err := netip.ParseAddr(administrator); err == nil && a.Is4() {
		n, ok := numbers(number, 16)
		if !ok {
			return nil, false
		}
		c[0] = 1
		copy(c[2:], a.AsSlice())
		binary.BigEndian.PutUint16(c[6:], uint16(n[0]))
		return [][8]byte{c}, true
	}
	if n, ok := numbers(s, 16, 32); ok {
		binary.BigEndian.PutUint16(c[2:], uint16(n[0]))
		binary.BigEndian.PutUint32(c[4:], n[1])
		return [][8]byte{c}, true
	}
	n, ok := numbers(s, 32, 16)
	if !ok {
		return nil, false
	}
	c[0] = 2
	binary.BigEndian.PutUint32(c[2:], n[0])
	binary.BigEndian.PutUint16(c[6:], uint16(n[1]))
	return [][8]byte{c}, true
}

func parseRaw(s string) ([][8]byte, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 {
		return nil, false
	}
	return [][8]byte{[8]byte(b)}, true
}

// aliases maps names to communities, and each to the Community that defines it.
type aliases map[string]alias

type alias struct {
	value Communities
	owner string
}

// parseAliases reads all Communities. Of an alias that two of them define differently, the older one's counts.
func parseAliases(objects []v1beta1.Community) (aliases, []Problem) {
	byAge := make([]*v1beta1.Community, len(objects))
	for i := range objects {
		byAge[i] = &objects[i]
	}
	slices.SortFunc(byAge, func(a, b *v1beta1.Community) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	all := aliases{}
	var problems []Problem
	for _, o := range byAge {
		for i, a := range o.Spec.Communities {
			if problem := all.define(o.Name, i, a); problem != nil {
				problems = append(problems, *problem)
			}
		}
	}
	return all, problems
}

func (all aliases) define(owner string, i int, a v1beta1.CommunityAlias) *Problem {
	problem := func(r Reason, message string) *Problem {
		return &Problem{Kind: "Community", Name: owner, Reason: r, Message: fmt.Sprintf("spec.communities[%d]: %s", i, message)}
	}
	value, err := ParseCommunity(a.Value)
	if err != nil {
		return problem(ReasonBadCommunity, err.Error())
	}
	if _, taken := wellKnown()[a.Name]; taken || strings.Contains(a.Name, ":") {
		return problem(ReasonBadCommunity, fmt.Sprintf("%q is no name for an alias: it is a community itself", a.Name))
	}
	is, defined := all[a.Name]
	switch {
	case !defined:
		all[a.Name] = alias{value, owner}
	case !is.value.equal(value):
		return problem(ReasonAmbiguousCommunity, fmt.Sprintf(
			"Community %s, which is older, has another value for %s: that one counts", is.owner, a.Name))
	}
	return nil
}

func (c Communities) equal(o Communities) bool {
	return slices.Equal(c.Standard, o.Standard) && slices.Equal(c.Large, o.Large) && slices.Equal(c.Extended, o.Extended)
}

// read reads communities and aliases. owners are the Communities whose aliases are used.
func (all aliases) read(list []string) (sum Communities, owners []string, problem func(advertisement string) *Problem) {
	used := map[string]bool{}
	fail := func(r Reason, message string) {
		if problem == nil {
			problem = func(name string) *Problem { return advertisementProblem(name, r, message) }
		}
	}
	for i, s := range list {
		a, isAlias := all[s]
		value, err := a.value, error(nil)
		if !isAlias {
			value, err = ParseCommunity(s)
		}
		switch _, known := wellKnown()[s]; {
		case isAlias:
			used[a.owner] = true
		case err != nil && !strings.Contains(s, ":") && !known:
			fail(ReasonUnknownCommunity, fmt.Sprintf(
				"spec.communities[%d]: no Community defines %q: nothing is announced by this advertisement, as the community may be there to guard the routes", i, s))
		case err != nil:
			fail(ReasonBadCommunity, fmt.Sprintf("spec.communities[%d]: %v: nothing is announced by this advertisement", i, err))
		}
		sum = sum.Join(value)
	}
	return sum, slices.Sorted(maps.Keys(used)), problem
}
