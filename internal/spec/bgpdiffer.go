package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// differences tells of each advertisement that wants other attributes than an older one for routes that both may announce: there
// the older one's count. Whether there is such a route depends on Services, which come and go; the message says so. Communities
// do not differ, they are joined.
func (b *BGP) differences(pools map[string]labels.Set) (problems []Problem) {
	byAge := slices.SortedFunc(slices.Values(b.Advertisements), BGPAdvertisement.Older)
	for i, younger := range byAge {
		for _, older := range byAge[:i] {
			fields := younger.differs(older)
			if fields == "" {
				continue
			}
			if pool, peer, meet := b.meet(pools, older, younger); meet {
				problems = append(problems, *advertisementProblem(younger.Name, ReasonAttributesDiffer, fmt.Sprintf(
					"BGPAdvertisement %s, which is older, is for pool %s and peer %s too, with another %s than %s: where both select a Service and a node, the older one's counts",
					older.Name, pool, peer, fields, younger.Name)))
				break
			}
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

// meet returns the first pool and the first peer for which the two may announce one prefix, as far as that shows without
// Services and nodes.
func (b *BGP) meet(pools map[string]labels.Set, x, y BGPAdvertisement) (pool, peer string, _ bool) {
	disjoint := func(x, y []labels.Selector) bool { return len(x) > 0 && len(y) > 0 && apart(x, y) }
	if disjoint(x.Services, y.Services) || disjoint(x.Nodes, y.Nodes) || !x.sameLength(y, IPv4) && !x.sameLength(y, IPv6) {
		return "", "", false
	}
	i := slices.IndexFunc(b.Peers, func(p Peer) bool { return x.SelectsPeer(p) && y.SelectsPeer(p) })
	if i < 0 {
		return "", "", false
	}
	for _, pool := range slices.Sorted(maps.Keys(pools)) {
		if l := pools[pool]; x.SelectsPool(pool, l) && y.SelectsPool(pool, l) {
			return pool, b.Peers[i].Name, true
		}
	}
	return "", "", false
}

// sameLength tells whether both announce prefixes of one length in the family.
func (a BGPAdvertisement) sameLength(b BGPAdvertisement, f Family) bool {
	return a.Length(f) == b.Length(f) || a.HostRoute(f) && b.HostRoute(f)
}
