package spec

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Objects is everything that users configure, as the API server holds it.
type Objects struct {
	Pools            []v1beta1.IPAddressPool
	L2Advertisements []v1beta1.L2Advertisement

	BGPPeers          []v1beta1.BGPPeer
	BGPAdvertisements []v1beta1.BGPAdvertisement
	Communities       []v1beta1.Community
	BFDProfiles       []v1beta1.BFDProfile
}

// Snapshot is everything that users configured, valid and sorted by name. Nobody changes it once it is made.
type Snapshot struct {
	Pools            []Pool
	PoolLabels       map[string]labels.Set // of every IPAddressPool, usable or not; none is nil
	Unusable         []string              // names of the pools that exist but cannot be used
	L2Advertisements []L2Advertisement
	BGP              BGP
}

// Parse reads the configuration. Objects that cannot be used are left out of the Snapshot and have a Problem; a Problem
// may also stand beside an object that is used (an advertisement that names a pool which does not exist yet).
func Parse(o Objects) (*Snapshot, []Problem) {
	s := &Snapshot{PoolLabels: make(map[string]labels.Set, len(o.Pools))}
	var problems []Problem
	s.Pools, problems = parsePools(o.Pools)
	for i := range o.Pools {
		s.PoolLabels[o.Pools[i].Name] = labels.Merge(o.Pools[i].Labels, nil)
		if _, usable := s.Pool(o.Pools[i].Name); !usable {
			s.Unusable = append(s.Unusable, o.Pools[i].Name)
		}
	}
	slices.Sort(s.Unusable)
	for i := range o.L2Advertisements {
		a, problem := parseL2(&o.L2Advertisements[i])
		if problem == nil {
			s.L2Advertisements = append(s.L2Advertisements, a)
			problem = unknownPools(a, s.PoolLabels)
		}
		if problem != nil {
			problems = append(problems, *problem)
		}
	}
	problems = append(problems, s.differences()...)
	var ofBGP []Problem
	s.BGP, ofBGP = parseAllBGP(o, s.PoolLabels)
	problems = append(problems, ofBGP...)
	slices.SortFunc(s.L2Advertisements, func(a, b L2Advertisement) int { return cmp.Compare(a.Name, b.Name) })
	return s, problems
}

// Pool returns the pool of this name; false when there is none, or none that can be used.
func (s *Snapshot) Pool(name string) (Pool, bool) {
	i, found := slices.BinarySearchFunc(s.Pools, name, func(p Pool, name string) int { return cmp.Compare(p.Name, name) })
	if !found {
		return Pool{}, false
	}
	return s.Pools[i], true
}

// L2Of returns the advertisements that select a pool, the oldest first.
func (s *Snapshot) L2Of(pool string) (out []L2Advertisement) {
	for _, a := range s.L2Advertisements {
		if a.SelectsPool(pool, s.PoolLabels[pool]) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, L2Advertisement.Older)
	return out
}
