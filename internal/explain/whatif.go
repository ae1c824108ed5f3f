package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
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
	out = append(out, routeChanges(before, after)...)
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
	case len(got) > 0 && len(overwritten(before, after, key)) > 0:
		others := joined(overwritten(before, after, key))
		return []Change{{Moves, subject, fmt.Sprintf("from %s, which its status shows, to %s", others, joined(got)), a.Reason}}
	case len(got) > 0:
		return []Change{{Gains, subject, joined(got), a.Reason}}
	case has && (b.Reason != a.Reason || b.Allocated != a.Allocated):
		return []Change{{Says, subject, a.Message, a.Reason}}
	}
	return nil
}

// overwritten are the addresses in a Service's status that nobody of ours gave, and that go with the write of ours.
func overwritten(before, after *View, key types.NamespacedName) []netip.Addr {
	others := minus(before.shown[key], addressesOf(before.verdicts[key]))
	return minus(others, addressesOf(after.verdicts[key]))
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
			reason, message := after.whyNobody(key, a)
			out = append(out, Change{Loses, subject, fmt.Sprintf("nobody announces %s any more: %s", a, message), reason})
		case was == "":
			out = append(out, Change{Gains, subject, fmt.Sprintf("%s is announced by %s", a, is), ""})
		default:
			out = append(out, Change{Moves, subject, fmt.Sprintf("%s is announced by %s instead of %s: its connections break", a, is, was), ""})
		}
	}
	return out
}

// announcerOf returns who is to announce an address for a Service: a node on the local network, or routers that hear of it;
// "" for nobody.
func (v *View) announcerOf(key types.NamespacedName, a netip.Addr) string {
	if owner, _, _ := v.elected(key, a); owner != "" {
		return "node " + owner
	}
	if h, selected := v.heard()[plan.Hold{Service: key, Addr: a}]; selected && h.Reason == "" {
		return "routers"
	}
	return ""
}

// whyNobody tells why nobody announces an address.
func (v *View) whyNobody(key types.NamespacedName, a netip.Addr) (spec.Reason, string) {
	if h, selected := v.heard()[plan.Hold{Service: key, Addr: a}]; selected {
		return h.Reason, h.Message
	}
	_, reason, message := v.elected(key, a)
	if reason == plan.ReasonNoAdvertisement {
		message = "no advertisement selects its pool"
	}
	return reason, message
}

// heard tells why routers do not hear of addresses, worked out once.
func (v *View) heard() map[plan.Hold]plan.Withheld {
	if v.announced == nil {
		v.announced = plan.AnnouncedWithBGP(v.world)
	}
	return v.announced
}

// routeChanges tells which routes each peer would hear more or less of from each node.
func routeChanges(before, after *View) (out []Change) {
	for _, r := range links(before, after) {
		was, is := before.routes(r), after.routes(r)
		subject := fmt.Sprintf("peer %s, from node %s", r.peer, r.node)
		if lost := notIn(was, is); len(lost) > 0 {
			out = append(out, Change{Says, subject, routeCount(len(lost)) + " fewer: " + atMost(lost), ""})
		}
		if got := notIn(is, was); len(got) > 0 {
			out = append(out, Change{Says, subject, routeCount(len(got)) + " more: " + atMost(got), ""})
		}
	}
	return out
}

func routeCount(n int) string {
	if n == 1 {
		return "1 route"
	}
	return fmt.Sprintf("%d routes", n)
}

// between names a node and a router.
type between struct{ node, peer string }

func links(views ...*View) (all []between) {
	for _, v := range views {
		for _, n := range v.world.Nodes {
			for peer := range v.BGP(n.Name).Peers {
				all = append(all, between{n.Name, peer})
			}
		}
	}
	slices.SortFunc(all, func(a, b between) int { return cmp.Or(cmp.Compare(a.peer, b.peer), cmp.Compare(a.node, b.node)) })
	return slices.Compact(all)
}

// routes lists what is told, in order; nothing while the session is to be left.
func (v *View) routes(b between) []string {
	p := v.BGP(b.node).Peers[b.peer]
	if p.Mode != plan.Up {
		return nil
	}
	var out []string
	for _, prefix := range slices.SortedFunc(maps.Keys(p.Routes), netip.Prefix.Compare) {
		out = append(out, prefix.String())
	}
	return out
}

func notIn(list, out []string) (rest []string) {
	gone := make(map[string]bool, len(out))
	for _, x := range out {
		gone[x] = true
	}
	for _, x := range list {
		if !gone[x] {
			rest = append(rest, x)
		}
	}
	return rest
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
