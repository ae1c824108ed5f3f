package alloc

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// extra is what the table remembers of the few claims that share, reserve, or were moved on purpose.
type extra struct {
	sharing     string
	ports       []spec.Port
	local       bool
	reservation string
	taker       types.NamespacedName // of a reservation, the Service that takes its addresses unasked
	moved       string               // the value of reallocate that was acted upon
}

// extra returns what is unusual about a claim, to be read.
func (t *Table) extra(id uint32) extra {
	if e := t.extras[id]; e != nil {
		return *e
	}
	return extra{}
}

// remember notes what is unusual about a claim.
func (t *Table) remember(id uint32, a *ask) {
	old := t.extras[id]
	t.unindex(id)
	if a.SharingKey == "" && a.Reservation == "" && a.taker == "" && a.Reallocate == "" {
		return
	}
	e := extra{sharing: a.SharingKey, local: a.Local, reservation: a.Reservation, moved: a.Reallocated}
	if e.sharing != "" {
		e.ports = slices.Clone(a.Ports)
	}
	if a.taker != "" {
		e.taker = types.NamespacedName{Namespace: a.Key.Namespace, Name: a.taker}
	}
	if old != nil && old.moved != "" && a.Reallocated != a.Reallocate {
		e.moved = old.moved
	}
	t.extras[id] = &e
	if e.sharing != "" {
		t.sharers[e.sharing] = append(t.sharers[e.sharing], id)
	}
	if a.taker != "" {
		t.takers[e.taker] = append(t.takers[e.taker], id)
	}
}

// unindex drops what remember noted.
func (t *Table) unindex(id uint32) {
	e := t.extras[id]
	if e == nil {
		return
	}
	remove(t.sharers, e.sharing, id)
	remove(t.takers, e.taker, id)
	delete(t.extras, id)
}

func remove[K comparable](m map[K][]uint32, k K, id uint32) {
	if left := slices.DeleteFunc(m[k], func(x uint32) bool { return x == id }); len(left) > 0 {
		m[k] = left
	} else {
		delete(m, k)
	}
}

// compatible tells whether two claims may hold one address, and if not, why: empty when they do not even try to share.
// Whether the pool lets them is another question: see shareable.
func (t *Table) compatible(x, y uint32) (bool, string) {
	a, b := t.claims.at(x), t.claims.at(y)
	switch {
	case a.reserves() && b.reserves():
		return false, ""
	case a.reserves():
		return t.uses(y, x), ""
	case b.reserves():
		return t.uses(x, y), ""
	}
	ex, ey := t.extras[x], t.extras[y]
	if ex == nil || ey == nil || ex.sharing == "" || ex.sharing != ey.sharing {
		return false, ""
	}
	if ex.local != ey.local {
		return false, "one has externalTrafficPolicy Local, the other Cluster"
	}
	for _, p := range ex.ports {
		if slices.Contains(ey.ports, p) {
			return false, fmt.Sprintf("both serve %s port %d", p.Protocol, p.Port)
		}
	}
	return true, ""
}

// shareable tells whether the pool lets two compatible claims share.
func (t *Table) shareable(p *pool, x, y uint32) (bool, string) {
	a, b := t.claims.at(x), t.claims.at(y)
	switch {
	case a.reserves() || b.reserves():
	case p.rules.Sharing == spec.SharingNone:
		return false, "pool " + p.name + " lets nobody share"
	case p.rules.Sharing == spec.SharingSameNamespace && a.space() != b.space():
		return false, "pool " + p.name + " lets Services of one namespace share only"
	}
	return true, ""
}

// uses tells whether a Service takes the addresses of a reservation.
func (t *Table) uses(service, reservation uint32) bool {
	if t.claims.at(service).space() != t.claims.at(reservation).space() {
		return false
	}
	if e := t.extras[service]; e != nil && e.reservation != "" {
		return e.reservation == t.claims.at(reservation).name
	}
	e := t.extras[reservation]
	return e != nil && e.taker == t.key(service)
}

// reservationOf returns the reservation whose addresses a Service takes, 0 for none: the one it names, else the eldest
// one that names it, unless it asks for something else.
func (t *Table) reservationOf(a *ask) uint32 {
	switch {
	case a.reserves:
	case a.Reservation != "":
		return t.find(types.NamespacedName{Namespace: a.Key.Namespace, Name: a.Reservation}, true)
	case len(a.WantIPs) == 0 && a.WantPool == "":
		if ids := t.takers[a.Key]; len(ids) > 0 {
			return slices.MinFunc(ids, func(x, y uint32) int { return byCreation(t.age(x), t.age(y)) })
		}
	}
	return 0
}
