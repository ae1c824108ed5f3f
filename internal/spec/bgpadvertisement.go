package spec

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// BGPAdvertisement says which addresses are announced with BGP, from which nodes, to which routers, and how.
type BGPAdvertisement struct {
	Name          string
	Created       time.Time
	Pools         []string          // with PoolSelectors: one that fits is enough; both empty: all
	PoolSelectors []labels.Selector // of IPAddressPools
	Services      []labels.Selector // one that matches is enough; empty: all
	Nodes         []labels.Selector // one that matches is enough; empty: all
	Peers         []string          // with PeerSelectors: one that fits is enough; both empty: all
	PeerSelectors []labels.Selector // of BGPPeers

	Length4, Length6 int  // of the prefixes that are announced
	HostRoutes       bool // besides aggregates
	LocalPref        Number
	MED              Number
	Prepend          int // how many times more our ASN is in the AS path
	Communities      Communities
	Weighted         bool          // by endpoints
	Bandwidth        BandwidthForm // of the community that says the weight
	Affinity         Affinity
	DiscardUnused    bool
}

// Number is one that may be unset.
type Number struct {
	V   uint32
	Set bool
}

// BandwidthForm is a form of the link-bandwidth community.
type BandwidthForm uint8

// The forms.
const (
	BandwidthAuto BandwidthForm = iota // transitive on eBGP, non-transitive on iBGP
	BandwidthTransitive
	BandwidthNonTransitive
)

// Affinity says how addresses of Services with sessionAffinity: ClientIP are announced.
type Affinity uint8

// The two ways.
const (
	AffinitySingle Affinity = iota // one node is preferred by all routers
	AffinityECMP                   // all nodes alike
)

// String returns the word of the API.
func (a Affinity) String() string {
	if a == AffinityECMP {
		return string(v1beta1.ClientIPAffinityECMP)
	}
	return string(v1beta1.ClientIPAffinitySingle)
}

// SelectsPool tells whether addresses of the pool are announced. Labels are those of the IPAddressPool, nil when it is
// gone: then only advertisements that name it or select all pools go on announcing its addresses.
func (a BGPAdvertisement) SelectsPool(pool string, l labels.Set) bool {
	return len(a.Pools)+len(a.PoolSelectors) == 0 || slices.Contains(a.Pools, pool) || l != nil && anyMatches(a.PoolSelectors, l)
}

// SelectsService tells whether addresses of a Service with these labels are announced.
func (a BGPAdvertisement) SelectsService(l Labels) bool {
	return len(a.Services) == 0 || anyMatches(a.Services, l)
}

// SelectsNode tells whether a node with these labels announces.
func (a BGPAdvertisement) SelectsNode(l labels.Set) bool {
	return len(a.Nodes) == 0 || anyMatches(a.Nodes, l)
}

// SelectsPeer tells whether the router is told.
func (a BGPAdvertisement) SelectsPeer(p Peer) bool {
	return len(a.Peers)+len(a.PeerSelectors) == 0 || slices.Contains(a.Peers, p.Name) || anyMatches(a.PeerSelectors, p.Labels)
}

// Length returns the prefix length to which addresses of the family are rolled up; that of a host route means that they
// are not.
func (a BGPAdvertisement) Length(f Family) int {
	if f == IPv6 {
		return a.Length6
	}
	return a.Length4
}

// HostRoute tells whether each address of the family has a route of its own.
func (a BGPAdvertisement) HostRoute(f Family) bool {
	return a.HostRoutes || f == IPv4 && a.Length4 == 32 || f == IPv6 && a.Length6 == 128
}

// Older orders advertisements by age, those of the same age by name. Of several for one route, the first of this order that
// sets an attribute decides on it.
func (a BGPAdvertisement) Older(b BGPAdvertisement) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

// parseBGP reads an advertisement; owners are the Communities whose aliases it uses.
func parseBGP(o *v1beta1.BGPAdvertisement, known aliases) (a BGPAdvertisement, owners []string, _ *Problem) {
	s := o.Spec
	a = BGPAdvertisement{
		Name: o.Name, Created: o.CreationTimestamp.Time,
		Pools: slices.Clone(s.IPAddressPools), Peers: slices.Clone(s.Peers),
		HostRoutes: s.AggregateOnly != nil && !*s.AggregateOnly,
		Weighted:   s.WeightByEndpoints, DiscardUnused: s.DiscardUnused,
	}
	communities, owners, problem := known.read(s.Communities)
	if problem != nil {
		return BGPAdvertisement{}, owners, problem(o.Name)
	}
	a.Communities = communities
	if err := a.parseSelectors(s); err != nil {
		return BGPAdvertisement{}, owners, advertisementProblem(o.Name, ReasonBadSelector, err.Error())
	}
	r := reader{}
	a.Length4, a.Length6 = r.length("aggregationLength", s.AggregationLength, 32), r.length("aggregationLengthV6", s.AggregationLengthV6, 128)
	a.Prepend = int(r.within("asPathPrepend", s.ASPathPrepend, 64))
	if s.LocalPref != 0 {
		a.LocalPref = r.number("localPref", s.LocalPref)
	}
	if s.MED != nil {
		a.MED = r.number("med", *s.MED)
	}
	a.parseWords(s)
	if r.err != nil {
		return BGPAdvertisement{}, owners, advertisementProblem(o.Name, ReasonBadValue, r.err.Error())
	}
	return a, owners, nil
}

func (a *BGPAdvertisement) parseSelectors(s v1beta1.BGPAdvertisementSpec) error {
	for _, f := range []struct {
		name string
		from []metav1.LabelSelector
		to   *[]labels.Selector
	}{
		{"ipAddressPoolSelectors", s.IPAddressPoolSelectors, &a.PoolSelectors},
		{"serviceSelectors", s.ServiceSelectors, &a.Services},
		{"nodeSelectors", s.NodeSelectors, &a.Nodes},
		{"peerSelectors", s.PeerSelectors, &a.PeerSelectors},
	} {
		var err error
		if *f.to, err = parseSelectorList(f.from); err != nil {
			return fmt.Errorf("spec.%s%w", f.name, err)
		}
	}
	return nil
}

func (a *BGPAdvertisement) parseWords(s v1beta1.BGPAdvertisementSpec) {
	switch s.LinkBandwidth {
	case v1beta1.LinkBandwidthTransitive:
		a.Bandwidth = BandwidthTransitive
	case v1beta1.LinkBandwidthNonTransitive:
		a.Bandwidth = BandwidthNonTransitive
	}
	if s.ClientIPAffinity == v1beta1.ClientIPAffinityECMP {
		a.Affinity = AffinityECMP
	}
}

func (r *reader) length(field string, v *int32, host int32) int {
	if v == nil {
		return int(host)
	}
	if *v < 1 || *v > host {
		r.fail("spec.%s: %d is not from 1 to %d", field, *v, host)
	}
	return int(*v)
}

func (r *reader) number(field string, v int64) Number {
	if v < 0 || v > math.MaxUint32 {
		r.fail("spec.%s: %d is not from 0 to 4294967295", field, v)
		return Number{}
	}
	return Number{uint32(v), true}
}

// unknownNames is a hint, not a refusal: what is named may come later, and the rest works meanwhile.
func (a BGPAdvertisement) unknownNames(pools map[string]labels.Set, peers map[string]bool) *Problem {
	missing := func(names []string, exists func(string) bool) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(names), exists), ", ")
	}
	if m := missing(a.Pools, func(n string) bool { return pools[n] != nil }); m != "" {
		return advertisementProblem(a.Name, ReasonUnknownPool, "spec.ipAddressPools: there is no IPAddressPool "+m)
	}
	if m := missing(a.Peers, func(n string) bool { return peers[n] }); m != "" {
		return advertisementProblem(a.Name, ReasonUnknownPeer, "spec.peers: there is no BGPPeer "+m+" (templates are not told anything)")
	}
	return nil
}

func advertisementProblem(name string, reason Reason, message string) *Problem {
	return &Problem{Kind: "BGPAdvertisement", Name: name, Reason: reason, Message: message}
}
