package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Effect says what a change does to a Service or object.
type Effect string

// The effects.
const (
	Gains Effect = "gains" // an address, or somebody who announces it
	Loses Effect = "loses" // an address, or everybody who announces it
	Moves Effect = "moves" // to another address or to another node
	Says  Effect = "says"  // something else about itself than before; nobody on the network notices
)

// Change is what would be different.
type Change struct {
	Effect  Effect      `json:"effect"`
	Subject string      `json:"subject"`
	Text    string      `json:"text"`
	Reason  spec.Reason `json:"reason,omitempty"`
}

// WhatIf compares two views of a cluster, before and after a change, and returns what would be different, by subject.
func WhatIf(before, after *View) []Change {
	var out []Change
	for _, key := range everybody(before, after) {
		out = append(out, addressChanges(before, after, key)...)
		out = append(out, announceChanges(before, after, key)...)
	}
	return append(out, problemChanges(before, after)...)
}

// Lossy tells whether something would be lost.
func Lossy(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Effect == Loses })
}

func everybody(before, after *View) []types.NamespacedName {
	all := map[types.NamespacedName]bool{}
	for k := range before.verdicts {
		all[k] = true
	}
	for k := range after.verdicts {
		all[k] = true
	}
	return slices.SortedFunc(maps.Keys(all), compareKeys)
}

func addressesOf(v alloc.Verdict) (out []netip.Addr) {
	for _, a := range v.Addresses {
		out = append(out, a.Addr)
	}
	return out
}

func addressChanges(before, after *View, key types.NamespacedName) []Change {
	b, had := before.verdicts[key]
	a, has := after.verdicts[key]
	lost, got := minus(addressesOf(b), addressesOf(a)), minus(addressesOf(a), addressesOf(b))
	subject := "Service " + key.String()
	switch {
	case had && !has && len(lost) > 0:
		return []Change{{Loses, subject, fmt.Sprintf("%s: the Service is gone, or no longer ours", joined(lost)), ""}}
	case len(lost) > 0 && len(got) > 0:
		return []Change{{Moves, subject, fmt.Sprintf("from %s to %s", joined(lost), joined(got)), a.Reason}}
	case len(lost) > 0:
		return []Change{{Loses, subject, fmt.Sprintf("%s: %s", joined(lost), a.Message), a.Reason}}
	case len(got) > 0:
		return []Change{{Gains, subject, joined(got), a.Reason}}
	case has && (b.Reason != a.Reason || b.Allocated != a.Allocated):
		return []Change{{Says, subject, a.Message, a.Reason}}
	}
	return nil
}

// announceChanges looks at the addresses that a Service keeps.
func announceChanges(before, after *View, key types.NamespacedName) (out []Change) {
	kept := addressesOf(after.verdicts[key])
	for _, a := range addressesOf(before.verdicts[key]) {
		was, is := before.announcerOf(key, a), after.announcerOf(key, a)
		subject := fmt.Sprintf("Service %s", key)
		switch {
		case !slices.Contains(kept, a) || was == is:
		case is == "":
			_, reason, message := after.elected(key, a)
			out = append(out, Change{Loses, subject, fmt.Sprintf("nobody announces %s any more: %s", a, message), reason})
		case was == "":
			out = append(out, Change{Gains, subject, fmt.Sprintf("%s is announced by node %s", a, is), ""})
		default:
			out = append(out, Change{Moves, subject, fmt.Sprintf("%s is announced by node %s instead of %s: its connections break", a, is, was), ""})
		}
	}
	return out
}

// announcerOf returns the node that is to announce an address for a Service, "" for none.
func (v *View) announcerOf(key types.NamespacedName, a netip.Addr) string {
	owner, _, _ := v.elected(key, a)
	return owner
}

// problemChanges tells which objects would be refused that are not now, and which would be accepted.
func problemChanges(before, after *View) (out []Change) {
	for _, p := range after.Problems {
		if !slices.Contains(before.Problems, p) {
			out = append(out, Change{Says, p.Kind + " " + p.Name, p.Message, p.Reason})
		}
	}
	for _, p := range before.Problems {
		if !slices.ContainsFunc(after.Problems, func(q spec.Problem) bool { return q.Kind == p.Kind && q.Name == p.Name }) {
			out = append(out, Change{Says, p.Kind + " " + p.Name, "is right again", ""})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Text, b.Text)) })
	return out
}

func minus(list, out []netip.Addr) (rest []netip.Addr) {
	for _, a := range list {
		if !slices.Contains(out, a) {
			rest = append(rest, a)
		}
	}
	return rest
}
