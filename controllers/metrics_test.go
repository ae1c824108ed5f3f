package controllers

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
)

// TestSeriesGoWithTheirObjects: what names an object of users is not told of any more when that is gone.
func TestSeriesGoWithTheirObjects(t *testing.T) {
	for _, tt := range []struct {
		name       string
		come, gone func(*metrics)
	}{
		{
			"belfry_pool_addresses",
			func(m *metrics) { m.pool("lan", alloc.Usage{AssignedIPv4: 1}) },
			func(m *metrics) { m.poolGone("lan") },
		},
		{
			"belfry_bgp_peer_nodes",
			func(m *metrics) { m.bgp(bgpSaid{peers: map[string]v1beta1.BGPPeerStatus{"router": {Wanted: 1}}}) },
			func(m *metrics) { m.bgp(bgpSaid{}) },
		},
		{
			"belfry_community_users",
			func(m *metrics) { m.bgp(bgpSaid{communities: map[string]int{"colors": 1}}) },
			func(m *metrics) { m.bgp(bgpSaid{}) },
		},
		{
			"belfry_configuration_objects",
			func(m *metrics) { m.bgp(bgpSaid{ready: readiness{{"BGPPeer", "False", "BadValue"}: 1}}) },
			func(m *metrics) { m.bgp(bgpSaid{ready: readiness{}}) },
		},
		{
			"belfry_announced_services",
			func(m *metrics) {
				m.announcements(map[types.NamespacedName]announcement{{Name: "web"}: {reason: "NoPool"}})
			},
			func(m *metrics) { m.announcements(nil) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			m, err := newMetrics(registry)
			if err != nil {
				t.Fatal(err)
			}
			tt.come(m)
			if n := seriesOf(t, registry, tt.name); n == 0 {
				t.Error("no series has come")
			}
			tt.gone(m)
			if n := seriesOf(t, registry, tt.name); n != 0 {
				t.Errorf("%d series are left", n)
			}
		})
	}
}

func seriesOf(t *testing.T, registry *prometheus.Registry, name string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}
