package speaker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// TestStatusBGP: what users read of a session, from how the engines say that it is.
func TestStatusBGP(t *testing.T) {
	at, seconds := noon.Add(400*time.Millisecond), metav1.NewTime(noon)
	one, two := netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("2001:db8::1/128")
	path := bfd.Path{Peer: netip.MustParseAddr("192.0.2.1")}
	wanted := bgp.Peer{
		Session: bgp.Session{LocalASN: 64500, PeerASN: 64501},
		Routes:  map[netip.Prefix]bgp.Route{one: {}, two: {}},
	}
	up := bgp.Status{
		State: bgp.Established, Since: at, PeerASN: 64501, Local: netip.MustParseAddrPort("192.0.2.9:40000"), Remote: netip.MustParseAddrPort("192.0.2.1:179"),
		HoldTime: 90 * time.Second, Families: wire.IPv4 | wire.IPv6, Graceful: wire.IPv4, Announced: 2, Flaps: 3,
	}
	established := v1beta1.SpeakerPeer{
		Name: "r", State: "Established", Since: &seconds, Local: "192.0.2.9:40000", Remote: "192.0.2.1:179", LocalASN: 64500, PeerASN: 64501,
		HoldTime: 90, Families: []v1beta1.IPFamily{"IPv4", "IPv6"}, GracefulRestart: []v1beta1.IPFamily{"IPv4"}, RoutesWanted: 2, RoutesSent: 2, Flaps: 3,
	}
	refused := bgp.Status{State: bgp.Connecting, Since: at, Reason: "ConnectionRefused", Message: "nobody listens at 192.0.2.1:179"}
	trying := v1beta1.SpeakerPeer{
		Name: "r", State: "Connecting", Since: &seconds, LocalASN: 64500, PeerASN: 64501, RoutesWanted: 2,
		Reason: "ConnectionRefused", Message: "nobody listens at 192.0.2.1:179",
	}
	for _, tt := range []struct {
		name   string
		status bgp.Status
		change func(*bgpReport)
		want   v1beta1.SpeakerPeer
		differ func(*v1beta1.SpeakerPeer)
	}{
		{"established", up, nil, established, nil},
		{
			"a route cannot be told", up,
			func(r *bgpReport) {
				s := up
				s.Announced, s.Withheld = 1, map[netip.Prefix]bgp.Reason{two: "FamilyNotNegotiated"}
				r.sessions.Peers["r"] = s
			},
			established,
			func(p *v1beta1.SpeakerPeer) {
				p.RoutesSent, p.Reason, p.Message = 1, "FamilyNotNegotiated", "2001:db8::1/128 cannot be told: FamilyNotNegotiated"
			},
		},
		{"refused", refused, nil, trying, nil},
		{
			"not tried for", refused, func(r *bgpReport) { r.orders.problems["r"] = problem{"NoSecret", "there is no Secret tor"} }, trying,
			func(p *v1beta1.SpeakerPeer) { p.Reason, p.Message = "NoSecret", "there is no Secret tor" },
		},
		{
			"watched, and the path is up", up,
			func(r *bgpReport) {
				r.orders.paths["r"] = path
				r.watched.Sessions = map[bfd.Path]bfd.Status{path: {State: bfd.Up, Since: at, Interval: 300 * time.Millisecond, Detection: 900 * time.Millisecond, Ups: 2, Downs: 1}}
			},
			established,
			func(p *v1beta1.SpeakerPeer) {
				p.BFD = &v1beta1.SpeakerBFD{State: "Up", Since: &seconds, TransmitInterval: 300, DetectionTime: 900, Ups: 2, Downs: 1}
			},
		},
		{
			"watched, and the path is down", refused,
			func(r *bgpReport) {
				r.orders.paths["r"] = path
				r.watched.Sessions = map[bfd.Path]bfd.Status{path: {State: bfd.Down, Cause: bfd.CauseNeighborAdminDown}}
			},
			trying,
			func(p *v1beta1.SpeakerPeer) {
				p.Message += "; BFD: the neighbour is administratively down"
				p.BFD = &v1beta1.SpeakerBFD{State: "Down", Message: "the neighbour is administratively down"}
			},
		},
		{
			"cannot be watched", up, func(r *bgpReport) { r.orders.watch["r"] = "another program has the port" }, established,
			func(p *v1beta1.SpeakerPeer) {
				p.BFD = &v1beta1.SpeakerBFD{State: "Down", Message: "another program has the port"}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &bgpReport{
				sessions: bgp.Running{Peers: map[string]bgp.Status{"r": tt.status}},
				orders: orders{
					bgp:      bgp.Desired{Peers: map[string]bgp.Peer{"r": wanted}},
					problems: map[string]problem{}, watch: map[string]string{}, paths: map[string]bfd.Path{},
					broken: map[string]problem{"odd": {"BadNodeValue", "the node has no annotation"}},
				},
			}
			if tt.change != nil {
				tt.change(r)
			}
			if tt.differ != nil {
				tt.differ(&tt.want)
			}
			odd := v1beta1.SpeakerPeer{Name: "odd", State: "Idle", Reason: "BadNodeValue", Message: "the node has no annotation"}
			if diff := cmp.Diff(v1beta1.SpeakerBGP{Peers: []v1beta1.SpeakerPeer{tt.want, odd}}, statusBGP(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := statusBGP(nil); len(got.Peers) > 0 {
		t.Errorf("without BGP there are peers: %+v", got)
	}
}
