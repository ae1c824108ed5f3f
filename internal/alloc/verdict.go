package alloc

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Assigned is an address and the pool it came from.
type Assigned struct {
	Addr netip.Addr
	Pool string // remembered even if the pool is gone
}

// Lost is an address that two had, and which of them keeps it. It is for events: what a condition says must not depend on
// what was before.
type Lost struct {
	Addr   netip.Addr
	Winner string               // who keeps it, in words
	To     types.NamespacedName // the Service that keeps it; zero when it is a reservation
}

// Verdict is what a Service should hold now, and why not more.
type Verdict struct {
	Key       types.NamespacedName
	Addresses []Assigned  // in the order of the Service's families
	Allocated bool        // it has all that it asked for; of PreferDualStack, one address is enough
	Reason    spec.Reason // one of this package's
	Message   string      // plain words with names and values; the same as long as nothing changes

	Lost []Lost // addresses that an elder claim has taken or keeps; told until the status shows them no more

	Reallocated string // the value of spec.Service.Reallocate that these addresses follow; to be written with them
}

func (t *Table) verdict(id uint32) Verdict {
	v := Verdict{Key: t.key(id), Reason: ReasonAllocated, Reallocated: t.extra(id).moved}
	c := t.claims.at(id)
	var buffer [128]byte
	text, families := buffer[:0], 0
	for f := range c.shape().families() {
		before := len(v.Addresses)
		for h := c.first; h != 0; {
			p := t.holdings.at(h)
			h = p.next
			if p.family() != f || p.leaving() {
				continue
			}
			v.Addresses = append(v.Addresses, t.assigned(p))
			if text = t.describe(separate(text), p); t.segmentOf(p.number) == nil {
				v.Reason = ReasonPoolGone
			}
		}
		if len(v.Addresses) > before {
			families++
		}
	}
	v.Allocated = families == c.shape().count() || families > 0 && c.shape().policy() == spec.PreferDualStack
	if n := t.notes[id]; n != nil {
		v.Allocated = v.Allocated && !n.refused
		v.Reason, text = n.add(v.Reason, text)
		for _, l := range n.lost {
			v.Lost = append(v.Lost, Lost{l.addr(), l.winner, l.toHolder})
		}
	}
	v.Message = string(text)
	return v
}

func (t *Table) assigned(h *holding) Assigned {
	return Assigned{h.addr(), t.byID[h.pool()].name}
}

func separate(text []byte) []byte {
	if len(text) > 0 {
		text = append(text, "; "...)
	}
	return text
}

func (t *Table) describe(text []byte, h *holding) []byte {
	text = h.addr().AppendTo(text)
	switch p := t.byID[h.pool()]; {
	case t.segmentOf(h.number) != nil:
		return append(append(text, " from pool "...), p.name...)
	case p.live:
		return fmt.Appendf(text, " is kept, though pool %s no longer contains it", p.name)
	case slices.Contains(t.unusable, p.name):
		return fmt.Appendf(text, " is kept, though its pool %s cannot be used: see the pool's condition Ready", p.name)
	default:
		return fmt.Appendf(text, " is kept, though its pool %s is gone", p.name)
	}
}

// add puts what the note says behind what the addresses say.
func (n *note) add(reason spec.Reason, text []byte) (spec.Reason, []byte) {
	if n.reason != "" {
		reason, text = n.reason, append(separate(text), n.message...)
	}
	return reason, text
}
