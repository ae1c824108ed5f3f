package controllers

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

const (
	planned = "2026-01-02T03:04:05Z"
	earlier = "2025-01-02T03:04:05Z"
)

func at(s string) metav1.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return metav1.Time{Time: t}
}

func assigned(pairs ...string) alloc.Verdict {
	v := alloc.Verdict{Key: named("web"), Allocated: true, Reason: alloc.ReasonAllocated, Message: "ok"}
	for i := 0; i < len(pairs); i += 2 {
		v.Addresses = append(v.Addresses, alloc.Assigned{Addr: netip.MustParseAddr(pairs[i]), Pool: pairs[i+1]})
	}
	return v
}

// web is a Service with these changes.
func web(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u1", ResourceVersion: "7"}}
	for _, f := range change {
		f(s)
	}
	return s
}

func showing(ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for _, ip := range ips {
			mode := corev1.LoadBalancerIPModeVIP
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip, IPMode: &mode})
		}
	}
}

func from(pools string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: pools} }
}

func conditions(list ...metav1.Condition) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Status.Conditions = list }
}

func cond(typ string, status metav1.ConditionStatus, reason, message, since string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: status, Reason: reason, Message: message, LastTransitionTime: at(since)}
}

func TestDiff(t *testing.T) {
	const us = v1beta1.ConditionAllocated
	held := cond(us, metav1.ConditionTrue, "Allocated", "ok", earlier)
	others := cond("other.dev/Programmed", metav1.ConditionTrue, "Done", "", earlier)
	refused := alloc.Verdict{Key: named("web"), Reason: alloc.ReasonNoPool, Message: "no pool"}
	for _, tc := range []struct {
		name    string
		service *corev1.Service
		verdict *alloc.Verdict // nil: the Service is not ours any more
		want    string         // the patch; empty: nothing differs
		events  []notice
	}{
		{
			name: "a first address", service: web(conditions(others)), verdict: new(assigned("192.0.2.1", "a")),
			want: `{"metadata":{"annotations":{"belfry.dev/allocated-from":"a"},"resourceVersion":"7","uid":"u1"},"status":{"conditions":[` +
				`{"type":"other.dev/Programmed","status":"True","lastTransitionTime":"` + earlier + `","reason":"Done","message":""},` +
				`{"type":"belfry.dev/Allocated","status":"True","lastTransitionTime":"` + planned + `","reason":"Allocated","message":"ok"}],` +
				`"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}}}`,
			events: []notice{{reason: eventAssigned, message: "assigned 192.0.2.1 from pool a"}},
		},
		{
			name: "all is as it should be", service: web(showing("192.0.2.1"), from("a"), conditions(held)), verdict: new(assigned("192.0.2.1", "a")),
		},
		{
			name: "the API server left out ipMode and filled in ports",
			service: web(func(s *corev1.Service) {
				s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1", Ports: []corev1.PortStatus{{Port: 80}}}}
			}, from("a"), conditions(held)), verdict: new(assigned("192.0.2.1", "a")),
		},
		{
			name: "the same address in other words", service: web(showing("2001:db8:0::1"), from("a"), conditions(held)), verdict: new(assigned("2001:db8::1", "a")),
		},
		{
			name: "two pools, one of them twice", service: web(showing("192.0.2.1", "2001:db8::1"), from("a,b"), conditions(held)),
			verdict: new(assigned("192.0.2.1", "a", "2001:db8::1", "b")),
		},
		{
			name: "only the message changed", service: web(showing("192.0.2.1"), from("a"), conditions(cond(us, metav1.ConditionTrue, "PoolGone", "gone", earlier))),
			verdict: new(assigned("192.0.2.1", "a")),
			want: `{"metadata":{"resourceVersion":"7","uid":"u1"},"status":{"conditions":[` +
				`{"type":"belfry.dev/Allocated","status":"True","lastTransitionTime":"` + earlier + `","reason":"Allocated","message":"ok"}]}}`,
		},
		{
			name: "another address", service: web(showing("192.0.2.1"), from("a"), conditions(held)), verdict: new(assigned("192.0.2.2", "a")),
			want: `{"metadata":{"resourceVersion":"7","uid":"u1"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.2","ipMode":"VIP"}]}}}`,
			events: []notice{{reason: eventReleased, message: "released 192.0.2.1"},
				{reason: eventAssigned, message: "assigned 192.0.2.2 from pool a"}},
		},
		{
			name: "an address that another controller gave is ours to change once there is one of ours", service: web(showing("198.51.100.1")),
			verdict: new(assigned("192.0.2.2", "a")),
			want: `{"metadata":{"annotations":{"belfry.dev/allocated-from":"a"},"resourceVersion":"7","uid":"u1"},"status":{"conditions":[` +
				`{"type":"belfry.dev/Allocated","status":"True","lastTransitionTime":"` + planned + `","reason":"Allocated","message":"ok"}],` +
				`"loadBalancer":{"ingress":[{"ip":"192.0.2.2","ipMode":"VIP"}]}}}`,
			events: []notice{{reason: eventAssigned, message: "assigned 192.0.2.2 from pool a"}},
		},
		{
			name: "none to be had: what another controller gave stays", service: web(showing("198.51.100.1")), verdict: &refused,
			want: `{"metadata":{"resourceVersion":"7","uid":"u1"},"status":{"conditions":[` +
				`{"type":"belfry.dev/Allocated","status":"False","lastTransitionTime":"` + planned + `","reason":"NoPool","message":"no pool"}]}}`,
			events: []notice{{warning: true, reason: eventFailed, message: "NoPool: no pool"}},
		},
		{
			name: "still none to be had", service: web(conditions(cond(us, metav1.ConditionFalse, "NoPool", "no pool", earlier))), verdict: &refused,
		},
		{
			name: "not ours any more", service: web(showing("192.0.2.1"), from("a"), conditions(held, others)),
			want: `{"metadata":{"annotations":{"belfry.dev/allocated-from":null},"resourceVersion":"7","uid":"u1"},"status":{"conditions":[` +
				`{"type":"other.dev/Programmed","status":"True","lastTransitionTime":"` + earlier + `","reason":"Done","message":""}],` +
				`"loadBalancer":{"ingress":null}}}`,
			events: []notice{{reason: eventReleased, message: "released 192.0.2.1"}},
		},
		{name: "never ours", service: web(showing("198.51.100.1"), conditions(others))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d desired
			if tc.verdict != nil {
				d = wish(tc.service, *tc.verdict, at(planned).Time)
			}
			before, _ := json.Marshal(tc.service)
			got, differs := diff(tc.service, d)
			if differs != (tc.want != "") {
				t.Fatalf("differs = %v: %s", differs, got.body)
			}
			if diff := cmp.Diff(tc.want, string(got.body)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.events, got.events, cmp.AllowUnexported(notice{})); diff != "" {
				t.Error(diff)
			}
			if after, _ := json.Marshal(tc.service); string(after) != string(before) {
				t.Errorf("the Service of the cache was changed to %s", after)
			}
		})
	}
}
