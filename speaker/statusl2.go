package speaker

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// mostAnomalies is how many conflicts a status shows: the newest.
const mostAnomalies = 50

// rivals remembers since when other stations have been heard to have addresses of ours.
type rivals map[netip.Addr]rival

type rival struct {
	l2.Other
	since time.Time
}

// hear takes over what the announcer hears now.
func (r rivals) hear(others map[netip.Addr]l2.Other, now time.Time) {
	for a, was := range r {
		if others[a].MAC != was.MAC {
			delete(r, a)
		}
	}
	for a, other := range others {
		since := now.Truncate(time.Second) // an API server keeps seconds
		if was, known := r[a]; known {
			since = was.since
		}
		r[a] = rival{other, since}
	}
}

// foreign counts the addresses that hosts which are no nodes have.
func (r rivals) foreign() (n int) {
	for _, o := range r {
		if o.Station == "" {
			n++
		}
	}
	return n
}

// unshown counts the conflicts that conflicts leaves out.
func (r rivals) unshown() int32 {
	return int32(max(len(r)-mostAnomalies, 0)) // #nosec G115 -- no more than there are addresses
}

// conflicts lists the newest, in the order of their addresses.
func (r rivals) conflicts() []v1beta1.SpeakerConflict {
	newest := slices.SortedFunc(maps.Keys(r), func(a, b netip.Addr) int { return cmp.Or(r[b].since.Compare(r[a].since), a.Compare(b)) })
	newest = newest[:min(len(newest), mostAnomalies)]
	slices.SortFunc(newest, netip.Addr.Compare)
	var out []v1beta1.SpeakerConflict
	for _, a := range newest {
		o := r[a]
		out = append(out, v1beta1.SpeakerConflict{
			Address: a.String(), MAC: o.MAC.String(), Interface: o.Interface, Node: o.Station, Since: metav1.NewTime(o.since),
		})
	}
	return out
}

// statusL2 writes what truly runs as users read it. Claims are the epochs of the addresses that the speaker claims; desired is
// what the announcer was asked for.
func statusL2(r l2.Running, desired l2.Desired, claims map[netip.Addr]uint64, heard rivals) v1beta1.SpeakerL2 {
	s := v1beta1.SpeakerL2{
		Count:     int32(len(r.Addresses)), // #nosec G115 -- far fewer
		Addresses: ranges(slices.Collect(maps.Keys(r.Addresses))),
		Conflicts: heard.conflicts(),
	}
	for epoch, addrs := range grouped(claims, func(_ netip.Addr, e uint64) int64 { return int64(e) }) { // #nosec G115 -- a count
		s.Claims = append(s.Claims, v1beta1.SpeakerClaim{Epoch: epoch, Addresses: addrs})
	}
	instead := func(a netip.Addr, _ []string) string { return insteadOf(desired, a) }
	for node, addrs := range grouped(r.StandIns, instead) {
		s.StandIns = append(s.StandIns, v1beta1.SpeakerStandIn{Node: node, Addresses: addrs})
	}
	for reason, addrs := range grouped(r.Problems, func(_ netip.Addr, p l2.Problem) string { return string(p) }) {
		s.Problems = append(s.Problems, v1beta1.SpeakerProblem{Reason: reason, Addresses: addrs})
	}
	return s
}

// insteadOf names the node in whose stead an address is answered for.
func insteadOf(d l2.Desired, a netip.Addr) string {
	for _, mac := range d.Entries[a].As {
		if node := d.Stations[mac]; node != "" {
			return node
		}
	}
	return ""
}

// grouped yields addresses that have the same key together, as ranges, in the order of the keys.
func grouped[V any, K cmp.Ordered](m map[netip.Addr]V, key func(netip.Addr, V) K) func(func(K, []string) bool) {
	groups := map[K][]netip.Addr{}
	for a, v := range m {
		k := key(a, v)
		groups[k] = append(groups[k], a)
	}
	return func(yield func(K, []string) bool) {
		for _, k := range slices.Sorted(maps.Keys(groups)) {
			if !yield(k, ranges(groups[k])) {
				return
			}
		}
	}
}
