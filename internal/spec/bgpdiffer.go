package spec

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// differences tells of each advertisement that wants other attributes than an older one for the same routes: the older one's
// count. Communities do not differ, they are joined.
func (b *BGP) differences(pools map[string]labels.Set) (problems []Problem) {
	byAge := slices.SortedFunc(slices.Values(b.Advertisements), BGPAdvertisement.Older)
	for i, younger := range byAge {
		for _, older := range byAge[:i] {
			fields := younger.differs(older)
			if fields == "" || !b.meet(pools, older, younger) {
				continue
			}
			problems = append(problems, *advertisementProblem(younger.Name, ReasonAttributesDiffer, fmt.Sprintf(
				"BGPAdvertisement %s, which is older, announces the same routes to the same peers with another %s than %s: there the older one's counts",
				older.Name, fields, younger.Name)))
			break
		}
	}
	return problems
}

// differs names the attributes, with their values, that cannot both be said of one route.
func (a BGPAdvertisement) differs(older BGPAdvertisement) string {
	var fields []string
	number := func(name string, is, was Number) {
		if is.Set && was.Set && is.V != was.V {
			fields = append(fields, fmt.Sprintf("%s (%d, not %d)", name, was.V, is.V))
		}
	}
	number("localPref", a.LocalPref, older.LocalPref)
	number("med", a.MED, older.MED)
	if a.Prepend != older.Prepend && a.Prepend > 0 && older.Prepend > 0 {
		fields = append(fields, fmt.Sprintf("asPathPrepend (%d, not %d)", older.Prepend, a.Prepend))
	}
	if a.Affinity != older.Affinity && a.hostRoutesAnywhere() && older.hostRoutesAnywhere() {
		fields = append(fields, fmt.Sprintf("clientIPAffinity (%s, not %s)", older.Affinity, a.Affinity))
	}
	if a.Weighted && older.Weighted && a.Bandwidth != older.Bandwidth && a.Bandwidth != BandwidthAuto && older.Bandwidth != BandwidthAuto {
		fields = append(fields, "linkBandwidth")
	}
	return strings.Join(fields, " and ")
}

func (a BGPAdvertisement) hostRoutesAnywhere() bool { return a.HostRoute(IPv4) || a.HostRoute(IPv6) }

// meet tells whether the two may announce one prefix to one peer, as far as that shows without Services and nodes.
func (b *BGP) meet(pools map[string]labels.Set, x, y BGPAdvertisement) bool {
	disjoint := func(x, y []labels.Selector) bool { return len(x) > 0 && len(y) > 0 && apart(x, y) }
	if disjoint(x.Services, y.Services) || disjoint(x.Nodes, y.Nodes) || !x.sameLength(y, IPv4) && !x.sameLength(y, IPv6) {
		return false
	}
	peer := slices.ContainsFunc(b.Peers, func(p Peer) bool { return x.SelectsPeer(p) && y.SelectsPeer(p) })
	if !peer {
		return false
	}
	for pool, l := range pools {
		if x.SelectsPool(pool, l) && y.SelectsPool(pool, l) {
			return true
		}
	}
	return false
}

// sameLength tells whether both announce prefixes of one length in the family.
func (a BGPAdvertisement) sameLength(b BGPAdvertisement, f Family) bool {
	return a.Length(f) == b.Length(f) || a.HostRoute(f) && b.HostRoute(f)
}
