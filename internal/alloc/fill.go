package alloc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/internal/spec"
)

// fill gives the claim what it lacks, as far as possible.
func (t *Table) fill(id uint32, s *spec.Service) {
	lacking := t.lacking(id)
	if len(lacking) == 0 || s.Terminated {
		return
	}
	found, missing := t.search(lacking)
	if len(missing) > 0 && s.Policy == spec.RequireDualStack {
		return
	}
	for _, a := range found {
		t.hold(id, a.number, a.pool)
	}
}

// explain notes why the claim still lacks something, once all had their turn: said earlier, it might be untrue when the
// pass ends, and the Service would be written twice.
func (t *Table) explain(id uint32, s *spec.Service) {
	lacking := t.lacking(id)
	if len(lacking) == 0 {
		t.satisfied(id)
		return
	}
	if s.Terminated {
		t.unsatisfied(id, false, ReasonTerminating, "the Service is being deleted: it gets no new address")
		return
	}
	found, missing := t.search(lacking)
	reason, message := t.whyAll(missing)
	switch {
	case s.Policy == spec.RequireDualStack && len(found) > 0:
		message += "; RequireDualStack takes both families or none"
	case s.Policy == spec.PreferDualStack && len(missing) == 1:
		reason = ReasonOneFamily
	}
	t.unsatisfied(id, true, reason, message)
}

// lacking lists the families of which the claim has no address, in its order.
func (t *Table) lacking(id uint32) []int {
	var out []int
	for _, f := range t.claims.at(id).shape().families() {
		if !t.has(id, f) {
			out = append(out, f)
		}
	}
	return out
}

// offer is a free address.
type offer struct {
	number
	pool *pool
}

// search finds free addresses, one per family: both in the first pool that has both, else each in the first that has it.
func (t *Table) search(families []int) (found []offer, missing []int) {
	for _, p := range t.order {
		if found = t.offers(p, families); len(found) == len(families) {
			return found, nil
		}
	}
	found = nil
	for _, f := range families {
		if i := slices.IndexFunc(t.order, func(p *pool) bool { return len(t.offers(p, []int{f})) > 0 }); i >= 0 {
			found = append(found, t.offers(t.order[i], []int{f})...)
			continue
		}
		missing = append(missing, f)
	}
	return found, missing
}

func (t *Table) offers(p *pool, families []int) (found []offer) {
	for _, f := range families {
		n, ok := t.free(p, f)
		if !ok {
			return nil
		}
		found = append(found, offer{n, p})
	}
	return found
}

// whyAll tells it of several families; the first one's reason counts.
func (t *Table) whyAll(families []int) (spec.Reason, string) {
	reason, message := t.why(families[0])
	for _, f := range families[1:] {
		if _, m := t.why(f); m != message {
			message += "; " + m
		}
	}
	return reason, message
}

// why tells what stands between a Service and an automatic address of the family.
func (t *Table) why(f int) (spec.Reason, string) {
	if len(t.order) == 0 {
		return ReasonNoPool, "there is no pool that assigns addresses automatically"
	}
	var names []string
	for _, p := range t.order {
		if len(p.segments[f]) > 0 {
			names = append(names, p.name)
		}
	}
	if names == nil {
		return ReasonNoFamily, fmt.Sprintf("no pool that assigns addresses automatically has %s addresses", familyName(f))
	}
	return ReasonPoolExhausted, fmt.Sprintf("every %s address of %s is in use", familyName(f), poolNames(names))
}

// poolNames lists at most five.
func poolNames(names []string) string {
	switch n := len(names); {
	case n == 1:
		return "pool " + names[0]
	case n > 5:
		return fmt.Sprintf("pools %s and %d more", strings.Join(names[:5], ", "), n-5)
	}
	return "pools " + strings.Join(names, ", ")
}

func (t *Table) satisfied(id uint32) {
	if n := t.notes[id]; n != nil {
		n.lacks, n.reason, n.message = false, "", ""
		if len(n.lost) == 0 {
			delete(t.notes, id)
		}
	}
}

func (t *Table) unsatisfied(id uint32, retry bool, reason spec.Reason, message string) {
	n := t.note(id)
	n.lacks, n.reason, n.message = retry, reason, message
}
