package controllers

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

// Reasons of events on Services.
const (
	eventAssigned = "AddressAssigned"
	eventReleased = "AddressReleased"
	eventFailed   = "AssignmentFailed"
)

// desired is what a Service is to say about its addresses. The zero value: nothing of ours.
type desired struct {
	addrs     []netip.Addr
	from      string // annotation; empty: none
	condition *metav1.Condition
}

// patch is one write to a Service: all that differs between what it says and what it is to say.
type patch struct {
	key     types.NamespacedName
	base    *corev1.Service // what the patch was computed from; it applies to this very version only
	body    []byte          // JSON merge patch of the status subresource
	events  []notice
	fresh   []netip.Addr   // addresses that the Service has after this write and had not before
	verdict *alloc.Verdict // what it says; nil when it says nothing of ours any more
}

// notice is an event to be told when the write has succeeded.
type notice struct {
	warning bool
	reason  string
	message string
}

// wish turns a verdict into what the Service is to say.
func wish(o *corev1.Service, v alloc.Verdict, now time.Time) desired {
	d := desired{condition: &metav1.Condition{
		Type:               v1beta1.ConditionAllocated,
		Status:             metav1.ConditionFalse,
		Reason:             string(v.Reason),
		Message:            v.Message,
		ObservedGeneration: o.Generation,
		LastTransitionTime: metav1.Time{Time: now.Truncate(time.Second)},
	}}
	if v.Allocated {
		d.condition.Status = metav1.ConditionTrue
	}
	var pools []string
	for _, a := range v.Addresses {
		d.addrs = append(d.addrs, a.Addr)
		pools = append(pools, a.Pool)
	}
	if len(slices.Compact(slices.Clone(pools))) == 1 {
		pools = pools[:1]
	}
	d.from = strings.Join(pools, ",")
	if old := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAllocated); old != nil && old.Status == d.condition.Status {
		d.condition.LastTransitionTime = old.LastTransitionTime
	}
	return d
}

// shows tells whether addresses that we gave still stand in the Service's status.
func shows(o *corev1.Service) bool {
	return o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && len(o.Status.LoadBalancer.Ingress) > 0
}

// diff returns the write that makes o say what is desired; false when it does already.
func diff(o *corev1.Service, d desired) (patch, bool) {
	p := patch{key: keyOf(o), base: o}
	metadata := map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion}
	status := map[string]any{}
	changed := false
	if from, has := o.Annotations[v1beta1.AnnotationAllocatedFrom]; from != d.from || has && d.from == "" {
		metadata["annotations"] = map[string]any{v1beta1.AnnotationAllocatedFrom: orNull(d.from)}
		changed = true
	}
	if ingress, differs := ingressOf(o, d); differs {
		status["loadBalancer"] = map[string]any{"ingress": ingress}
		changed = true
	}
	if conditions, differs := conditionsOf(o, d.condition); differs {
		status["conditions"] = conditions
		changed = true
	}
	if !changed {
		return patch{}, false
	}
	p.body, _ = json.Marshal(map[string]any{"metadata": metadata, "status": status}) // strings and API types: cannot fail
	p.fresh = minus(d.addrs, heldBy(o))
	p.events = noticesOf(o, d)
	return p, true
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// ingressOf returns the ingress list to write. Entries of ours are kept as the API server holds them, so that what it
// fills in (ipMode, ports) never differs. Without addresses for a Service that we never marked, the list is somebody else's.
func ingressOf(o *corev1.Service, d desired) ([]corev1.LoadBalancerIngress, bool) {
	old := o.Status.LoadBalancer.Ingress
	if len(d.addrs) == 0 {
		return nil, shows(o)
	}
	vip := corev1.LoadBalancerIPModeVIP
	differs := len(old) != len(d.addrs)
	var list []corev1.LoadBalancerIngress
	for i, a := range d.addrs {
		entry := corev1.LoadBalancerIngress{IP: a.String()}
		if at := slices.IndexFunc(old, func(in corev1.LoadBalancerIngress) bool { return sameAddr(in.IP, a) }); at >= 0 {
			entry = *old[at].DeepCopy()
			differs = differs || at != i
		} else {
			differs = true
		}
		differs = differs || entry.Hostname != "" || entry.IPMode != nil && *entry.IPMode != vip
		entry.Hostname, entry.IPMode = "", &vip
		list = append(list, entry)
	}
	return list, differs
}

func sameAddr(s string, a netip.Addr) bool {
	b, err := netip.ParseAddr(s)
	return err == nil && b.Unmap() == a
}

// conditionsOf returns the conditions to write: all of others as they are, ours as it is to be (nil: not at all).
func conditionsOf(o *corev1.Service, want *metav1.Condition) ([]metav1.Condition, bool) {
	old := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAllocated)
	switch {
	case old == nil && want == nil, old != nil && want != nil && *old == *want:
		return nil, false
	}
	list := slices.Clone(o.Status.Conditions)
	if want == nil {
		return slices.DeleteFunc(list, func(c metav1.Condition) bool { return c.Type == v1beta1.ConditionAllocated }), true
	}
	if i := slices.IndexFunc(list, func(c metav1.Condition) bool { return c.Type == want.Type }); i >= 0 {
		list[i] = *want
		return list, true
	}
	return append(list, *want), true
}

// noticesOf tells what changes for the Service's owner: addresses come, go, or cannot be had.
func noticesOf(o *corev1.Service, d desired) []notice {
	var out []notice
	if lost := minus(heldBy(o), d.addrs); len(lost) > 0 && shows(o) {
		out = append(out, notice{reason: eventReleased, message: "released " + join(lost)})
	}
	if got := minus(d.addrs, heldBy(o)); len(got) > 0 {
		out = append(out, notice{reason: eventAssigned, message: fmt.Sprintf("assigned %s from pool %s", join(got), d.from)})
	}
	if c := d.condition; c != nil && c.Status == metav1.ConditionFalse {
		old := meta.FindStatusCondition(o.Status.Conditions, c.Type)
		if old == nil || old.Status != c.Status || old.Reason != c.Reason {
			out = append(out, notice{warning: true, reason: eventFailed, message: c.Reason + ": " + c.Message})
		}
	}
	return out
}

func heldBy(o *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, in := range o.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(in.IP); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

func minus(list, out []netip.Addr) []netip.Addr {
	var rest []netip.Addr
	for _, a := range list {
		if !slices.Contains(out, a) {
			rest = append(rest, a)
		}
	}
	return rest
}

func join(addrs []netip.Addr) string {
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}
