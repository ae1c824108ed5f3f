package speaker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/speaker/l2"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func on[V any](v V, addrs ...string) map[netip.Addr]V {
	m := map[netip.Addr]V{}
	for _, a := range addrs {
		m[netip.MustParseAddr(a)] = v
	}
	return m
}

func TestStatusL2(t *testing.T) {
	eth := []string{"eth0"}
	theirs := l2.MAC{2, 0, 0, 0, 0, 9}
	tests := []struct {
		name    string
		running l2.Running
		desired l2.Desired
		claims  map[netip.Addr]uint64
		want    v1beta1.SpeakerL2
	}{
		{name: "none"},
		{
			name: "neighbours are joined, families are not", running: l2.Running{Addresses: on(eth, "192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.4")},
			want: v1beta1.SpeakerL2{Count: 4, Addresses: []string{"192.0.2.1-192.0.2.2", "192.0.2.4", "2001:db8::1"}},
		},
		{
			name: "claims by their epochs", claims: map[netip.Addr]uint64{
				netip.MustParseAddr("192.0.2.1"): 12, netip.MustParseAddr("192.0.2.2"): 3, netip.MustParseAddr("192.0.2.3"): 3,
			},
			want: v1beta1.SpeakerL2{Claims: []v1beta1.SpeakerClaim{
				{Epoch: 3, Addresses: []string{"192.0.2.2-192.0.2.3"}}, {Epoch: 12, Addresses: []string{"192.0.2.1"}},
			}},
		},
		{
			name: "in another's stead", running: l2.Running{StandIns: on(eth, "192.0.2.7", "192.0.2.8")},
			desired: l2.Desired{Entries: on(l2.Entry{As: map[string]l2.MAC{"eth0": theirs}}, "192.0.2.7", "192.0.2.8"), Stations: map[l2.MAC]string{theirs: "n9"}},
			want:    v1beta1.SpeakerL2{StandIns: []v1beta1.SpeakerStandIn{{Node: "n9", Addresses: []string{"192.0.2.7-192.0.2.8"}}}},
		},
		{
			name: "problems by reason", running: l2.Running{Problems: map[netip.Addr]l2.Problem{
				netip.MustParseAddr("192.0.2.1"): l2.ProblemLinkDown, netip.MustParseAddr("192.0.2.2"): l2.ProblemConflict, netip.MustParseAddr("192.0.2.3"): l2.ProblemLinkDown,
			}},
			want: v1beta1.SpeakerL2{Problems: []v1beta1.SpeakerProblem{
				{Reason: "Conflict", Addresses: []string{"192.0.2.2"}}, {Reason: "LinkDown", Addresses: []string{"192.0.2.1", "192.0.2.3"}},
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, statusL2(tt.running, tt.desired, tt.claims, rivals{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRivals: a rival keeps its time until it is silent or another takes its place.
func TestRivals(t *testing.T) {
	r := rivals{}
	one := l2.Other{MAC: l2.MAC{2, 0, 0, 0, 0, 1}, Interface: "eth0"}
	two := l2.Other{MAC: l2.MAC{2, 0, 0, 0, 0, 2}, Interface: "eth1", Station: "n2"}
	r.hear(on(one, "192.0.2.1", "192.0.2.2", "192.0.2.3"), noon)
	others := on(one, "192.0.2.1")
	others[netip.MustParseAddr("192.0.2.2")] = two
	r.hear(others, noon.Add(90*time.Second+time.Millisecond))
	want := []v1beta1.SpeakerConflict{
		{Address: "192.0.2.1", MAC: "02:00:00:00:00:01", Interface: "eth0", Since: metav1.NewTime(noon)},
		{Address: "192.0.2.2", MAC: "02:00:00:00:00:02", Interface: "eth1", Node: "n2", Since: metav1.NewTime(noon.Add(90 * time.Second))},
	}
	if diff := cmp.Diff(want, r.conflicts()); diff != "" {
		t.Error(diff)
	}
}

func TestNewestConflicts(t *testing.T) {
	r := rivals{}
	first := netip.MustParseAddr("192.0.2.0")
	others := map[netip.Addr]l2.Other{}
	for i, a := 0, first; i < 60; i, a = i+1, a.Next() {
		others[a] = l2.Other{MAC: l2.MAC{2}}
		r.hear(others, noon.Add(time.Duration(i)*time.Second))
	}
	got := r.conflicts()
	if len(got) != 50 || got[0].Address != "192.0.2.10" || got[49].Address != "192.0.2.59" || r.unshown() != 10 {
		t.Errorf("%d conflicts, %d left out: %+v", len(got), r.unshown(), got)
	}
}

func TestPauseGrowsWithTheCluster(t *testing.T) {
	r := &reporter{pause: time.Second}
	for speakers, want := range map[int32]time.Duration{0: time.Second, 3: time.Second, 50: time.Second, 100: 2 * time.Second, 1000: 20 * time.Second} {
		if got := r.pauseOf(speakers); got != want {
			t.Errorf("%d speakers: %v, want %v", speakers, got, want)
		}
	}
}

// TestForeignHostsAreCounted: by hardware address, ours left out, and gone when they are.
func TestForeignHostsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	must(t, err)
	gathered := func() (out []string) {
		families, err := registry.Gather()
		must(t, err)
		for _, f := range families {
			if f.GetName() != "belfry_l2_foreign_hosts" {
				continue
			}
			for _, x := range f.GetMetric() {
				out = append(out, fmt.Sprint(x.GetLabel()[0].GetValue(), " ", x.GetLabel()[1].GetValue(), " ", x.GetGauge().GetValue()))
			}
		}
		return out
	}
	m.showForeign([]v1beta1.SpeakerConflict{
		{Address: "192.0.2.1", MAC: "02:00:00:00:00:09", Interface: "eth0"}, {Address: "192.0.2.2", MAC: "02:00:00:00:00:09", Interface: "eth0"},
		{Address: "192.0.2.3", MAC: "02:00:00:00:00:08", Interface: "eth1"}, {Address: "192.0.2.4", MAC: "02:00:00:00:00:07", Interface: "eth0", Node: "n2"},
	})
	if diff := cmp.Diff([]string{"eth0 02:00:00:00:00:09 2", "eth1 02:00:00:00:00:08 1"}, gathered()); diff != "" {
		t.Error(diff)
	}
	m.showForeign(nil)
	if left := gathered(); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}
