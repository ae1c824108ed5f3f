package controllers

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

// lookReservation returns the reservation, nil when it is gone or its write is on its way.
func (a *allocator) lookReservation(ctx context.Context, key types.NamespacedName, gone map[types.UID]struct{}) *v1beta1.IPReservation {
	r, err := a.objects.reservation(ctx, key, gone)
	switch {
	case err != nil:
		a.log.Error(err, "IPReservation not read", "reservation", key.String())
		a.reservations.retries.after(key, a.now())
		return nil
	case r == nil:
		a.unreserve(key)
		return nil
	case a.reservations.outbox.busy(key):
		return nil
	}
	a.known.add(key)
	return r
}

// unreserve forgets a reservation that is gone. The Services that used it keep the addresses.
func (a *allocator) unreserve(key types.NamespacedName) {
	a.reservations.outbox.drop(key)
	a.reservations.retries.forget(key)
	a.known.remove(key)
	a.touched[key.Namespace] = true
	if freed := a.table.Unreserve(key); len(freed) > 0 {
		a.helped = true
		a.log.Info("addresses no longer reserved", "reservation", key.String(), "address", addrsOf(freed))
	}
}

// reportReservations writes the status of reservations whose addresses, or whose user, may be others now.
func (a *allocator) reportReservations(ctx context.Context, gone map[types.UID]struct{}) {
	for namespace := range a.touched {
		for key := range a.known[namespace] {
			r := a.lookReservation(ctx, key, gone)
			if v, ok := a.table.Reservation(key); r != nil && ok {
				a.writeReservation(r, v)
			}
		}
	}
	clear(a.touched)
}

func (a *allocator) writeReservation(r *v1beta1.IPReservation, v alloc.Verdict) {
	p, differs := diffReservation(r, v, a.userOf(v), a.now())
	if !differs {
		a.reservations.outbox.drop(keyOf(r))
		return
	}
	a.reservations.outbox.put(p)
}

// userOf names the Service that uses a reservation's addresses, "" for none.
func (a *allocator) userOf(v alloc.Verdict) string {
	for _, x := range v.Addresses {
		if s, ok := a.table.Holder(x.Addr); ok && s.Namespace == v.Key.Namespace {
			return s.Name
		}
	}
	return ""
}

// diffReservation returns the write that makes a reservation's status say what the verdict says; false when it does
// already.
func diffReservation(o *v1beta1.IPReservation, v alloc.Verdict, holder string, now time.Time) (patch, bool) {
	var addrs, pools []string
	for _, x := range v.Addresses {
		addrs, pools = append(addrs, x.Addr.String()), append(pools, x.Pool)
	}
	c := conditionOf(v1beta1.ConditionReserved, v, o.Generation, o.Status.Conditions, now)
	ready := conditionOf(v1beta1.ConditionReady, v, o.Generation, o.Status.Conditions, now) // for those who know no other
	conditions := []metav1.Condition{*c, *ready}
	same := o.Status.ObservedGeneration == o.Generation && slices.Equal(addrs, o.Status.Addresses) && slices.Equal(pools, o.Status.Pools) && holder == o.Status.Holder &&
		slices.Equal(conditions, o.Status.Conditions)
	if same {
		return patch{}, false
	}
	p := patch{key: keyOf(o), about: o, reserves: true, verdict: &v}
	p.body, _ = json.Marshal(map[string]any{ // strings and API types: cannot fail
		"metadata": map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion},
		"status": map[string]any{
			"observedGeneration": o.Generation, "addresses": addrs, "pools": pools, "holder": orNull(holder), "conditions": conditions,
		},
	})
	p.fresh, p.lost = minus(addrsIn(v), reservedBy(o)), minus(reservedBy(o), addrsIn(v))
	p.events = assignmentNews(p.lost, p.fresh, strings.Join(slices.Compact(pools), ","), o.Status.Conditions, c)
	return p, true
}

func addrsIn(v alloc.Verdict) []netip.Addr {
	var out []netip.Addr
	for _, x := range v.Addresses {
		out = append(out, x.Addr)
	}
	return out
}

func reservedBy(o *v1beta1.IPReservation) []netip.Addr {
	var out []netip.Addr
	for _, s := range o.Status.Addresses {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// waitsForReservation tells whether a Service must not be written yet: it names a reservation whose status does not show
// the addresses. Were it written first and we gone then, the next leader would not know that they are the reservation's.
func (a *allocator) waitsForReservation(ctx context.Context, name string, v alloc.Verdict) bool {
	if name == "" {
		return false
	}
	key := types.NamespacedName{Namespace: v.Key.Namespace, Name: name}
	reserved, ok := a.table.Reservation(key)
	if !ok {
		return false
	}
	r, err := a.objects.reservation(ctx, key, nil)
	if err != nil || r == nil {
		return false
	}
	for _, x := range v.Addresses {
		if slices.Contains(reserved.Addresses, x) && !slices.Contains(r.Status.Addresses, x.Addr.String()) {
			return true
		}
	}
	return false
}

// byNamespace is the reservations that are known.
type byNamespace map[string]keySet

func (b byNamespace) add(key types.NamespacedName) {
	if b[key.Namespace] == nil {
		b[key.Namespace] = keySet{}
	}
	b[key.Namespace][key] = struct{}{}
}

func (b byNamespace) remove(key types.NamespacedName) {
	if delete(b[key.Namespace], key); len(b[key.Namespace]) == 0 {
		delete(b, key.Namespace)
	}
}
