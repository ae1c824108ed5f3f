package bgp

import (
	"encoding/binary"
	"math"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// said is a route as one router is told it, with its next hop settled. There are many of them, and few that differ in more
// than the prefix: those that are alike share the route, which must not be changed.
type said struct {
	route   *Route
	nextHop netip.Addr
}

func (s said) equal(o said) bool {
	return s.nextHop == o.nextHop && (s.route == o.route || s.route.equal(*o.route))
}

// alike finds the one of equal routes.
type alike struct{ known []*Route }

// fewRoutes bounds the search.
const fewRoutes = 16

func (a *alike) one(r Route) *Route {
	for _, k := range a.known {
		if k.equal(r) {
			return k
		}
	}
	novel := r // on the heap, unlike r
	if len(a.known) < fewRoutes {
		a.known = append(a.known, &novel)
	}
	return &novel
}

// maxCommunities bounds what one route may carry, so that every UPDATE stays far below 4,096 bytes.
const maxCommunities = 100

// tooMany reports whether the attributes would not fit.
func (r Route) tooMany() bool {
	return len(r.Communities) > maxCommunities || len(r.LargeCommunities) > maxCommunities || len(r.ExtendedCommunities) > maxCommunities
}

// path builds what GoBGP takes for a prefix.
func (s said) path(p netip.Prefix, asn uint32, internal bool) (*api.Path, error) {
	nlri := &api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())}
	family := apiFamily(wire.FamilyOf(p.Addr()))
	attributes := []message{&api.OriginAttribute{Origin: 0}}
	add := func(m message) { attributes = append(attributes, m) }

	any4, err := anypb.New(nlri)
	if err != nil {
		return nil, err
	}
	if s.nextHop.Is4() {
		add(&api.NextHopAttribute{NextHop: s.nextHop.String()})
	} else {
		add(&api.MpReachNLRIAttribute{Family: family, NextHops: []string{s.nextHop.WithZone("").String()}, Nlris: []*anypb.Any{any4}})
	}
	r := s.route
	if r.Prepend > 0 && !internal {
		add(prepend(asn, r.Prepend))
	}
	if r.MED.Set {
		add(&api.MultiExitDiscAttribute{Med: r.MED.V})
	}
	if r.LocalPref.Set && internal {
		add(&api.LocalPrefAttribute{LocalPref: r.LocalPref.V})
	}
	if len(r.Communities) > 0 {
		add(standard(r.Communities))
	}
	if len(r.LargeCommunities) > 0 {
		add(large(r.LargeCommunities))
	}
	if all := r.extended(asn); len(all) > 0 {
		m, err := extended(all)
		if err != nil {
			return nil, err
		}
		add(m)
	}
	packed, err := pack(attributes)
	return &api.Path{Family: family, Nlri: any4, Pattrs: packed}, err
}

// withdrawal builds what names a path to take away.
func withdrawal(p netip.Prefix, nextHop netip.Addr) (*api.Path, error) {
	return said{&Route{}, nextHop}.path(p, 0, true)
}

func prepend(asn uint32, times uint8) message {
	numbers := make([]uint32, times)
	for i := range numbers {
		numbers[i] = asn
	}
	return &api.AsPathAttribute{Segments: []*api.AsSegment{{Type: api.AsSegment_AS_SEQUENCE, Numbers: numbers}}}
}

func standard(cs []Community) message {
	m := &api.CommunitiesAttribute{}
	for _, c := range cs {
		m.Communities = append(m.Communities, uint32(c))
	}
	return m
}

func large(cs []LargeCommunity) message {
	m := &api.LargeCommunitiesAttribute{}
	for _, c := range cs {
		m.Communities = append(m.Communities, &api.LargeCommunity{GlobalAdmin: c[0], LocalData1: c[1], LocalData2: c[2]})
	}
	return m
}

// extended hands the communities over raw: GoBGP's own types cannot say each of them.
func extended(cs []ExtendedCommunity) (message, error) {
	m := &api.ExtendedCommunitiesAttribute{}
	for _, c := range cs {
		a, err := anypb.New(&api.UnknownExtended{Type: uint32(c[0]), Value: c[1:]})
		if err != nil {
			return nil, err
		}
		m.Communities = append(m.Communities, a)
	}
	return m, nil
}

// extended returns the route's extended communities, its bandwidth among them.
func (r Route) extended(asn uint32) []ExtendedCommunity {
	if r.Bandwidth <= 0 {
		return r.ExtendedCommunities
	}
	all := append([]ExtendedCommunity(nil), r.ExtendedCommunities...)
	return append(all, LinkBandwidth(asn, r.Bandwidth, !r.BandwidthNonTransitive))
}

// LinkBandwidth returns the community that says how much traffic a next hop can take, in bytes per second. It has two octets
// for the ASN, which nobody looks at: a longer one is AS_TRANS.
func LinkBandwidth(asn uint32, bytesPerSecond float32, transitive bool) ExtendedCommunity {
	c := ExtendedCommunity{0x40, 0x04}
	if transitive {
		c[0] = 0
	}
	if asn > 0xffff {
		asn = 23456
	}
	binary.BigEndian.PutUint16(c[2:], uint16(asn))
	binary.BigEndian.PutUint32(c[4:], math.Float32bits(bytesPerSecond))
	return c
}

func apiFamily(f wire.Family) *api.Family {
	if f == wire.IPv4 {
		return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
}
