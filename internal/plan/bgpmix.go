package plan

import (
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// mix is what several advertisements say together of one prefix. There are many prefixes and few mixes.
//
//	communities                          all of them
//	local preference, MED, prepending    of the oldest that sets it
//	weights, discarding                  if one wants it
type mix struct {
	advs     []int // ascending: the oldest first
	route    Route
	weighted bool
	form     spec.BandwidthForm
	discard  bool
}

// mix returns the one of these advertisements.
func (t *teller) mix(advs []int) *mix {
	key := keyOf(advs)
	if m := t.mixes[key]; m != nil {
		return m
	}
	m := &mix{advs: advs}
	for _, i := range advs {
		m.add(t.advs[i])
	}
	t.mixes[key] = m
	return m
}

// add takes in an advertisement that is younger than those before.
func (m *mix) add(a spec.BGPAdvertisement) {
	r := &m.route
	r.Communities = r.Communities.Join(a.Communities)
	if !r.LocalPref.Set {
		r.LocalPref = a.LocalPref
	}
	if !r.MED.Set {
		r.MED = a.MED
	}
	if r.Prepend == 0 {
		r.Prepend = a.Prepend
	}
	m.discard = m.discard || a.DiscardUnused
	m.weighted = m.weighted || a.Weighted
	if a.Weighted && m.form == spec.BandwidthAuto {
		m.form = a.Bandwidth
	}
}

// join returns the mix of both's advertisements.
func (t *teller) join(a, b *mix) *mix {
	key := [2]*mix{a, b}
	m := t.joined[key]
	if m == nil {
		advs := slices.Concat(a.advs, b.advs)
		slices.Sort(advs)
		m = t.mix(slices.Compact(advs))
		t.joined[key] = m
	}
	return m
}

// keyOf makes a map's key of small numbers.
func keyOf(numbers []int) string {
	key := make([]byte, 0, 2*len(numbers))
	for _, n := range numbers {
		key = append(key, byte(n), byte(n>>8))
	}
	return string(key)
}
