package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// routed is the healthy cluster with routers in place of the local network: both nodes have a session with tor.
func routed(edit ...func(*Facts)) Facts {
	return healthy(append([]func(*Facts){func(f *Facts) {
		f.Objects.L2Advertisements = nil
		f.Objects.BGPAdvertisements = []v1beta1.BGPAdvertisement{{ObjectMeta: named("all")}}
		f.Objects.BGPPeers = []v1beta1.BGPPeer{{ObjectMeta: named("tor"), Spec: v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254"}}}
		for _, n := range f.Nodes {
			n.Status.Status.BGP.Peers = []v1beta1.SpeakerPeer{{Name: "tor", State: v1beta1.SessionEstablished, Remote: "192.0.2.254:179", PeerASN: 64513, RoutesWanted: 1, RoutesSent: 1}}
		}
	}}, edit...)...)
}

func sessions(state, reason string) func(*Facts) {
	return nodes(func(n *Node) {
		n.Status.Status.BGP.Peers[0].State, n.Status.Status.BGP.Peers[0].Reason = state, reason
	})
}

func TestServiceBehindRouters(t *testing.T) {
	e := Look(routed()).Service(key("web"))
	want(t, e, "", "")
	if !strings.Contains(e.Summary, "is told to routers by 2 nodes") {
		t.Error(e.Summary)
	}
	want(t, Look(routed(sessions(v1beta1.SessionConnecting, "ConnectionRefused"))).Service(key("web")), "routers", plan.ReasonNoSession)
	want(t, Look(routed(func(f *Facts) { f.Objects.BGPAdvertisements = nil })).Service(key("web")), "advertisement", plan.ReasonNoAdvertisement)
	both := Look(routed(func(f *Facts) { f.Objects.L2Advertisements = []v1beta1.L2Advertisement{{ObjectMeta: named("lan")}} }))
	if e := both.Service(key("web")); !e.Healthy() || !strings.Contains(e.Summary, "routers") || !strings.Contains(e.Summary, "announced by node") {
		t.Errorf("%s\n%s", e.Summary, transcript(e))
	}
}

func TestPeer(t *testing.T) {
	want(t, Look(routed()).Peer("tor"), "", "")
	want(t, Look(routed()).Peer("x"), "object", ReasonNotFound)
	want(t, Look(routed(sessions(v1beta1.SessionConnecting, "BadPeerASN"))).Peer("tor"), "sessions", "BadPeerASN")
	want(t, Look(routed(nodes(func(n *Node) { n.Status.Status.BGP.Peers = nil }))).Peer("tor"), "sessions", ReasonOtherPlan)
	unsaid := Look(routed(nodes(func(n *Node) { n.Status.Status.BGP.Peers, n.Status.Status.Omitted.BGPPeers = nil, 9 }))).Peer("tor")
	want(t, unsaid, "", "")
	if rows := unsaid.Links[len(unsaid.Links)-1].Rows; len(rows) != 2 || rows[0].State != Note || !strings.Contains(rows[0].Text, "9 more are left out") {
		t.Errorf("%+v", rows)
	}
	wrong := Look(routed(func(f *Facts) { f.Objects.BGPPeers[0].Spec.Base = "nowhere" })).Peer("tor")
	want(t, wrong, "object", spec.ReasonUnknownTemplate)
	unheard := Look(routed(func(f *Facts) { f.Objects.BGPAdvertisements[0].Spec.Peers = []string{"other"} })).Peer("tor")
	if !strings.Contains(transcript(unheard), "note advertisement NoAdvertisement") {
		t.Error(transcript(unheard))
	}
}

func TestWhatIfWithRouters(t *testing.T) {
	before := routed()
	gone := func(kind, name string) []Change {
		after, err := before.Delete(Ref{Kind: kind, NamespacedName: types.NamespacedName{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return WhatIf(Look(before), Look(after))
	}
	for _, c := range []struct {
		kind, name, want string
	}{
		{"BGPPeer", "tor", "loses Service default/web; says peer tor, from node n1; says peer tor, from node n2"},
		{"BGPAdvertisement", "all", "loses Service default/web; says peer tor, from node n1; says peer tor, from node n2"},
		{"Node", "n1", "says peer tor, from node n1"},
	} {
		var got []string
		for _, x := range gone(c.kind, c.name) {
			got = append(got, fmt.Sprintf("%s %s", x.Effect, x.Subject))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("without %s %s: %s, want %s", c.kind, c.name, s, c.want)
		}
	}
}

func TestPicture(t *testing.T) {
	p := Look(routed(func(f *Facts) {
		f.Services = append(f.Services, service("late"), service("lone", "192.0.2.11"))
		f.Services[2].Endpoints = spec.Endpoints{}
		f.Nodes[1].Status.Status.BGP.Peers[0].State = v1beta1.SessionIdle
	})).Draw()
	if len(p.Routers) != 1 || !p.Routers[0].Sessions[0].Established || p.Routers[0].Sessions[1].Established {
		t.Errorf("routers %+v", p.Routers)
	}
	states := map[string]State{}
	for _, s := range p.Services {
		states[s.Name] = s.State
	}
	if states["web"] != OK || states["late"] != Broken || states["lone"] != Broken {
		t.Errorf("%v", states)
	}
	if i := slices.IndexFunc(p.Services, func(s PictureService) bool { return s.State == OK }); i != 2 {
		t.Errorf("what is wrong does not come first: %+v", p.Services)
	}
	local := Look(healthy()).Draw()
	if at := local.Services[0].Addresses[0]; len(at.Nodes) != 1 || local.Services[0].State != OK {
		t.Errorf("%+v", local.Services)
	}
}
