package plan

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/internal/spec"
)

func TestAnnouncedWithBGP(t *testing.T) {
	each := func(f func(*Node)) func(*World) {
		return func(w *World) {
			for i := range w.Nodes {
				f(&w.Nodes[i])
			}
		}
	}
	for _, tt := range []struct {
		name  string
		world func(*World)
		want  string // "silent": it is none of BGP's
	}{
		{"announced", func(*World) {}, ""},
		{"by the last node alone", func(w *World) { w.Nodes[0].Draining, w.Nodes[1].BGP.Established = true, nil }, ""},
		{"no advertisement selects it", func(w *World) { w.Config.BGP.Advertisements[0].Pools = []string{"dmz"} }, "silent"},
		{"no advertisement", func(w *World) { w.Config.BGP.Advertisements = nil }, "silent"},
		{"no session", each(func(n *Node) { n.BGP.Established = nil }), "NoSession"},
		{"a session with another", func(w *World) {
			w.Config.BGP.Advertisements[0].Peers = []string{"int"}
			each(func(n *Node) { n.BGP.Established = []string{"ext"} })(w)
		}, "NoSession"},
		{"no node is able", each(func(n *Node) { n.Node.Ready = false }), "NoNode"},
		{"no node is selected", func(w *World) { w.Config.BGP.Advertisements[0].Nodes = []labels.Selector{labels.Nothing()} }, "NoNode"},
		{"no pods", func(w *World) { w.Services[0].Endpoints = spec.Endpoints{} }, "NoEndpoints"},
		{"pods on a node that is gone", func(w *World) { w.Services[0].Local, w.Services[0].Endpoints = true, backends("n9") }, "NoNode"},
		{"another proxy", func(w *World) { w.Services[0].ProxyName = "x" }, "ServiceProxyName"},
		{"shared with one that is served elsewhere", func(w *World) {
			w.Services[0].Local, w.Services[0].Endpoints = true, backends("n1")
			other := announcedService("other", "192.0.2.10")
			other.Local, other.Endpoints, other.Created = true, backends("n2"), w.Services[0].Created.Add(-1)
			w.Services = append(w.Services, other)
		}, "SharedElsewhere"},
	} {
		w := routing(t, config(), tt.world)
		got, told := AnnouncedWithBGP(w)[Hold{w.Services[0].Key, netip.MustParseAddr("192.0.2.10")}]
		if told != (tt.want != "silent") || told && string(got.Reason) != tt.want || (got.Reason == "") != (got.Message == "") {
			t.Errorf("%s: %+v %t", tt.name, got, told)
		}
	}
}
