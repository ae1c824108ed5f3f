package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// differences tells of each advertisement whose failback or conflictDetection is not that of an older one for the same
// addresses: the older one's counts.
func (s *Snapshot) differences() (problems []Problem) {
	byAge := slices.SortedFunc(slices.Values(s.L2Advertisements), L2Advertisement.Older)
	for i, younger := range byAge {
		for _, older := range byAge[:i] {
			fields := younger.differs(older)
			if fields == "" {
				continue
			}
			if pool, meet := s.meet(older, younger); meet {
				problems = append(problems, *l2Problem(younger.Name, ReasonSettingsDiffer, fmt.Sprintf(
					"L2Advertisement %s, which is older, selects addresses of pool %s too, with another %s than %s: for them the older one's counts",
					older.Name, pool, fields, younger.Name)))
				break
			}
		}
	}
	return problems
}

// differs names the settings, with their values, that two advertisements cannot both have for one address.
func (a L2Advertisement) differs(older L2Advertisement) string {
	var fields []string
	if a.Failback != older.Failback {
		fields = append(fields, fmt.Sprintf("failback (%s, not %s)", older.Failback, a.Failback))
	}
	if a.Conflicts != older.Conflicts {
		fields = append(fields, fmt.Sprintf("conflictDetection (%s, not %s)", older.Conflicts, a.Conflicts))
	}
	return strings.Join(fields, " and ")
}

// meet returns the first pool of which both may announce an address.
func (s *Snapshot) meet(a, b L2Advertisement) (pool string, _ bool) {
	if len(a.Services) > 0 && len(b.Services) > 0 && apart(a.Services, b.Services) {
		return "", false
	}
	for _, pool := range slices.Sorted(maps.Keys(s.PoolLabels)) {
		if l := s.PoolLabels[pool]; a.SelectsPool(pool, l) && b.SelectsPool(pool, l) {
			return pool, true
		}
	}
	return "", false
}

// apart tells whether it is certain that nothing matches a selector of both lists.
func apart(a, b []labels.Selector) bool {
	for _, x := range a {
		for _, y := range b {
			if !exclusive(x, y) {
				return false
			}
		}
	}
	return true
}

// exclusive tells whether the two want different values of one label.
func exclusive(a, b labels.Selector) bool {
	ofA, _ := a.Requirements()
	ofB, _ := b.Requirements()
	for _, x := range ofA {
		for _, y := range ofB {
			if x.Key() == y.Key() && isIn(x) && isIn(y) && x.Values().Intersection(y.Values()).Len() == 0 {
				return true
			}
		}
	}
	return false
}

func isIn(r labels.Requirement) bool {
	return r.Operator() == selection.In || r.Operator() == selection.Equals || r.Operator() == selection.DoubleEquals
}
