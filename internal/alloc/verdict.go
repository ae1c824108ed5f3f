package alloc

import (
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Assigned is an address and the pool it came from.
type Assigned struct {
	Addr netip.Addr
	Pool string // remembered even if the pool is gone
}

// Verdict is what a Service should hold now, and why not more.
type Verdict struct {
	Key       types.NamespacedName
	Addresses []Assigned  // in the order of the Service's families
	Allocated bool        // it has all that it asked for; of PreferDualStack, one address is enough
	Reason    spec.Reason // one of this package's
	Message   string      // plain words with names and values; the same as long as nothing changes
}

func (t *Table) verdict(id uint32) Verdict {
	v := Verdict{Key: t.key(id), Reason: ReasonAllocated}
	shape := t.claims.at(id).shape()
	var text []string
	var have int
	for _, f := range shape.families() {
		before := len(v.Addresses)
		for h := t.claims.at(id).first; h != 0; h = t.holdings.at(h).next {
			p := t.holdings.at(h)
			if p.family() != f || p.leaving() {
				continue
			}
			reason, words := t.describe(p)
			if reason != ReasonAllocated {
				v.Reason = reason
			}
			v.Addresses = append(v.Addresses, t.assigned(p))
			text = append(text, words)
		}
		if len(v.Addresses) > before {
			have++
		}
	}
	v.Allocated = have == len(shape.families()) || have > 0 && shape.policy() == spec.PreferDualStack
	if n := t.notes[id]; n != nil {
		if n.reason != "" {
			v.Reason = n.reason
			text = append(text, n.message)
		}
		for _, l := range n.lost {
			text = append(text, l.addr().String()+" belongs to "+l.winner.String()+", which had it first")
		}
	}
	v.Message = strings.Join(text, "; ")
	return v
}

func (t *Table) assigned(h *holding) Assigned {
	return Assigned{h.addr(), t.byID[h.pool()].name}
}

func (t *Table) describe(h *holding) (spec.Reason, string) {
	a, p := h.addr().String(), t.byID[h.pool()]
	switch {
	case t.segmentOf(h.number) != nil:
		return ReasonAllocated, a + " from pool " + p.name
	case p.live:
		return ReasonPoolGone, a + " is kept, though pool " + p.name + " no longer contains it"
	}
	return ReasonPoolGone, a + " is kept, though its pool " + p.name + " is gone"
}
