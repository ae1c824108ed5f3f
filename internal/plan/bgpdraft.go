package plan

import (
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

const (
	// bandwidthOfEndpoint is what one endpoint counts in link-bandwidth communities, in bytes a second. Only the proportions
	// matter; FRR keeps the number in 32 bits, so it must not be large.
	bandwidthOfEndpoint = 1e6
	// backupPrepend is how many times more than that of the preferred node the path of a backup has this end's ASN.
	backupPrepend = 3
	// unsetLocalPref stands for a local preference that is not set.
	unsetLocalPref = 100
)

// list is some of the teller's advertisements, the oldest first. Equal lists are one.
type list struct{ advs []int }

// part is one of the prefixes of an address that an audience is told.
type part struct {
	bits int
	mix  *mix
}

// draft is a route in the making.
type draft struct {
	prefix netip.Prefix
	mix    *mix
	weight int
	backup bool
}

// draft adds a Service's address to what an audience is told; false: it is not told of it.
func (t *teller) draft(a *audience, s *Service, v *target, l *list) bool {
	f := spec.FamilyOf(v.addr)
	if !a.hears(f) {
		return false
	}
	parts := t.parts(a, l, f)
	for _, p := range parts {
		at := prefix(v.addr, p.bits)
		i, known := a.at[at]
		if !known {
			i = len(a.drafts)
			a.at[at], a.drafts = i, append(a.drafts, draft{prefix: at, mix: p.mix})
		}
		d := &a.drafts[i]
		if d.mix != p.mix {
			d.mix = t.join(d.mix, p.mix)
		}
		if p.mix.weighted {
			d.weight += weight(s, f, t.me.Name)
		}
		d.backup = d.backup || at.IsSingleIP() && t.outcome(v).backup
	}
	return len(parts) > 0
}

// weight is what a Service adds to the weight of a node: its endpoints there. With externalTrafficPolicy Cluster, packets go
// on from any node to all endpoints, and all nodes weigh the same.
func weight(s *Service, f spec.Family, node string) int {
	if !s.Local {
		return 1
	}
	return s.Endpoints.Of(f).Count(node)
}

type partsKey struct {
	audience *audience
	list     *list
	family   spec.Family
}

// parts returns the prefixes in which addresses with these advertisements are told, each with what is said of it.
func (t *teller) parts(a *audience, l *list, f spec.Family) []part {
	key := partsKey{a, l, f}
	if known, ok := t.partsOf[key]; ok {
		return known
	}
	byBits := map[int][]int{}
	for _, i := range l.advs {
		if !t.onNode[i][t.here] || !slices.Contains(a.advs, i) {
			continue
		}
		host, bits := hostBits(f), t.advs[i].Length(f)
		byBits[bits] = append(byBits[bits], i)
		if bits < host && t.advs[i].HostRoutes {
			byBits[host] = append(byBits[host], i)
		}
	}
	var out []part
	for bits, advs := range byBits {
		out = append(out, part{bits, t.mix(advs)})
	}
	t.partsOf[key] = out
	return out
}

func hostBits(f spec.Family) int {
	if f == spec.IPv6 {
		return 128
	}
	return 32
}

// finish turns drafts into routes.
func (t *teller) finish(a *audience) {
	a.routes = make(map[netip.Prefix]Route, len(a.drafts))
	for i := range a.drafts {
		d := &a.drafts[i]
		a.routes[d.prefix] = d.route(a.ibgp)
		if d.mix.discard {
			t.discard[d.prefix] = true
		}
	}
}

func (d *draft) route(ibgp bool) Route {
	r := d.mix.route
	if d.backup {
		r.Prepend += backupPrepend
		if !r.LocalPref.Set {
			r.LocalPref = spec.Number{V: unsetLocalPref, Set: true}
		}
		r.LocalPref.V--
	}
	if d.mix.weighted && d.weight > 0 {
		r.Bandwidth = float32(d.weight) * bandwidthOfEndpoint
		r.BandwidthNonTransitive = d.mix.form == spec.BandwidthNonTransitive || d.mix.form == spec.BandwidthAuto && ibgp
	}
	return r
}
