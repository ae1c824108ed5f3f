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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

// Reasons of events on Services.
const (
	// eventAssigned: the Service or reservation has got addresses.
	eventAssigned = "AddressAssigned"
	// eventReleased: it has given addresses back.
	eventReleased = "AddressReleased"
	// eventFailed: it cannot have what it asks for; the message begins with the reason.
	eventFailed = "AssignmentFailed"
	// eventKept: it keeps an address that another Service had too, which has let go of it.
	eventKept = "AddressKept"
)

// desired is what a Service is to say about its addresses. The zero value: nothing of ours.
type desired struct {
	addrs     []netip.Addr
	from      string // annotation; empty: none
	moved     string // annotation; empty: none
	finalize  finalize
	condition *metav1.Condition
	keepers   []alloc.Lost // who has what is taken away
}

// patch is one write to a Service or reservation: all that differs between what it says and what it is to say. It applies
// only to the version that it was computed from.
type patch struct {
	key      types.NamespacedName
	about    client.Object // the version that it was computed from
	reserves bool          // it is a reservation's
	body     []byte        // JSON merge patch of the status subresource
	events   []notice
	fresh    []netip.Addr   // addresses that it has after this write and had not before
	lost     []netip.Addr   // addresses that it had before and has no more
	verdict  *alloc.Verdict // what it says; nil when it says nothing of ours any more
}

// notice is an event to be told when the write has succeeded.
type notice struct {
	warning bool
	reason  string
	message string
}

// wish turns a verdict into what the Service is to say.
func wish(o *corev1.Service, v alloc.Verdict, now time.Time) desired {
	d := desired{
		moved:     v.Reallocated,
		keepers:   v.Lost,
		condition: conditionOf(v1beta1.ConditionAllocated, v, o.Generation, o.Status.Conditions, now),
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
	return d
}

// conditionOf says what a verdict says. Its time is that of the last turn from true to false or back.
func conditionOf(kind string, v alloc.Verdict, generation int64, old []metav1.Condition, now time.Time) *metav1.Condition {
	c := &metav1.Condition{
		Type:               kind,
		Status:             metav1.ConditionFalse,
		Reason:             string(v.Reason),
		Message:            v.Message,
		ObservedGeneration: generation,
		LastTransitionTime: metav1.Time{Time: now.Truncate(time.Second)},
	}
	if v.Allocated {
		c.Status = metav1.ConditionTrue
	}
	if old := meta.FindStatusCondition(old, kind); old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	return c
}

// shows tells whether addresses that we gave still stand in the Service's status.
func shows(o *corev1.Service) bool {
	return o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && len(o.Status.LoadBalancer.Ingress) > 0
}

// diff returns the write that makes o say what is desired; false when it does already.
func diff(o *corev1.Service, d desired) (patch, bool) {
	p := patch{key: keyOf(o), about: o}
	metadata := map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion}
	status := map[string]any{}
	changed := false
	if annotations := annotationsOf(o, d); len(annotations) > 0 {
		metadata["annotations"] = annotations
		changed = true
	}
	if finalizers, differs := finalizersOf(o, d.finalize); differs {
		metadata["finalizers"] = finalizers
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
	p.fresh, p.lost = minus(d.addrs, heldBy(o)), minus(heldBy(o), d.addrs)
	p.events = noticesOf(o, d)
	return p, true
}

// annotationsOf returns those of ours that differ.
func annotationsOf(o *corev1.Service, d desired) map[string]any {
	out := map[string]any{}
	for name, want := range map[string]string{v1beta1.AnnotationAllocatedFrom: d.from, v1beta1.AnnotationReallocated: d.moved} {
		if is, has := o.Annotations[name]; is != want || has && want == "" {
			out[name] = orNull(want)
		}
	}
	return out
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
	var lost []netip.Addr
	if shows(o) {
		lost = minus(heldBy(o), d.addrs)
	}
	out := changes(lost, minus(d.addrs, heldBy(o)), d.from, o.Status.Conditions, d.condition)
	for _, k := range d.keepers {
		if len(out) > 0 && out[0].reason == eventReleased && slices.Contains(lost, k.Addr) {
			out[0].message += fmt.Sprintf("; %s belongs to %s, which had it first", k.Addr, k.Winner)
		}
	}
	return out
}

func changes(lost, got []netip.Addr, pools string, old []metav1.Condition, c *metav1.Condition) (out []notice) {
	if len(lost) > 0 {
		out = append(out, notice{reason: eventReleased, message: "released " + join(lost)})
	}
	if len(got) > 0 {
		out = append(out, notice{reason: eventAssigned, message: fmt.Sprintf("assigned %s from pool %s", join(got), pools)})
	}
	if c != nil && c.Status == metav1.ConditionFalse {
		old := meta.FindStatusCondition(old, c.Type)
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
