package spec

import (
	"cmp"
	"slices"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Objects is everything that users configure, as the API server holds it.
type Objects struct {
	Pools            []v1beta1.IPAddressPool
	L2Advertisements []v1beta1.L2Advertisement
}

// Snapshot is everything that users configured, valid and sorted by name. Nobody changes it once it is made.
type Snapshot struct {
	Pools            []Pool
	Unusable         []string // names of the pools that exist but cannot be used
	L2Advertisements []L2Advertisement
}

// Parse reads the configuration. Objects that cannot be used are left out of the Snapshot and have a Problem; a Problem
// may also stand beside an object that is used (an advertisement that names a pool which does not exist yet).
func Parse(o Objects) (*Snapshot, []Problem) {
	s := &Snapshot{}
	var problems []Problem
	s.Pools, problems = parsePools(o.Pools)

	exists := make(map[string]bool, len(o.Pools))
	for i := range o.Pools {
		exists[o.Pools[i].Name] = true
		if _, usable := s.Pool(o.Pools[i].Name); !usable {
			s.Unusable = append(s.Unusable, o.Pools[i].Name)
		}
	}
	slices.Sort(s.Unusable)
	for i := range o.L2Advertisements {
		a, problem := parseL2(&o.L2Advertisements[i])
		if problem == nil {
			s.L2Advertisements = append(s.L2Advertisements, a)
			problem = unknownPools(a, exists)
		}
		if problem != nil {
			problems = append(problems, *problem)
		}
	}
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
