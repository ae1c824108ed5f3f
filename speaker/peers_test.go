package speaker

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/speaker/members"
)

func TestPeers(t *testing.T) {
	changed := func(p *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod { change(p); return p }
	pods := map[string]*corev1.Pod{
		"runs":         newPod("n1", "192.0.2.1"),
		"dual stack":   newPod("n2", "192.0.2.2", "2001:db8::2"),
		"IPv6 first":   newPod("n3", "2001:db8::3", "192.0.2.3"),
		"IPv6 only":    newPod("n4", "2001:db8::4"),
		"no address":   newPod("n5"),
		"no node":      changed(newPod("", "192.0.2.6"), func(p *corev1.Pod) { p.Name = "pending" }),
		"evicted":      changed(newPod("n7", "192.0.2.7"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		"finished":     changed(newPod("n8", "192.0.2.8"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		"about to go":  changed(newPod("n9", "192.0.2.9"), func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now; p.Finalizers = []string{"x/y"} }),
		"another app":  changed(newPod("n10", "192.0.2.10"), func(p *corev1.Pod) { p.Labels = nil }),
		"elsewhere":    changed(newPod("n11", "192.0.2.11"), func(p *corev1.Pod) { p.Namespace = "default" }),
		"only podIP":   changed(newPod("n12", "192.0.2.12"), func(p *corev1.Pod) { p.Status.PodIPs = nil }),
		"no addresses": changed(newPod("n13", "?"), func(*corev1.Pod) {}),
	}
	b := fakeAPI(t)
	for _, p := range pods {
		b.WithObjects(p)
	}
	c := b.Build()
	tests := []struct {
		bind string
		want map[string]string
	}{
		{"192.0.2.1:7947", map[string]string{
			"n1": "192.0.2.1:7947", "n2": "192.0.2.2:7947", "n3": "192.0.2.3:7947", "n12": "192.0.2.12:7947",
		}},
		{"[2001:db8::1]:7950", map[string]string{
			"n2": "[2001:db8::2]:7950", "n3": "[2001:db8::3]:7950", "n4": "[2001:db8::4]:7950",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.bind, func(t *testing.T) {
			found, err := peers(context.Background(), c, ns, netip.MustParseAddrPort(tt.bind))
			must(t, err)
			got := map[string]string{}
			for name, a := range found {
				got[name] = a.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	should := map[string]netip.AddrPort{"n1": {}, "n2": {}, "n3": {}}
	tests := []struct {
		name   string
		roster []string
		want   []string
	}{
		{"alone and not yet a member", nil, []string{"n1", "n2", "n3"}},
		{"some", []string{"n2"}, []string{"n1", "n3"}},
		{"none", []string{"n1", "n2", "n3"}, nil},
		{"more than should be", []string{"n1", "n2", "n3", "n4"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var roster []members.Member
			for _, name := range tt.roster {
				roster = append(roster, members.Member{Name: name})
			}
			if diff := cmp.Diff(tt.want, missing(should, roster), cmpopts.EquateEmpty()); diff != "" || len(should) != 3 {
				t.Error(diff)
			}
		})
	}
}
