package speaker

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// statusBGP writes the sessions as users read them.
func statusBGP(r *bgpReport) v1beta1.SpeakerBGP {
	var out v1beta1.SpeakerBGP
	if r == nil {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(r.orders.bgp.Peers)) {
		out.Peers = append(out.Peers, r.statusPeer(name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.orders.broken)) {
		why := r.orders.broken[name]
		out.Peers = append(out.Peers, v1beta1.SpeakerPeer{Name: name, State: v1beta1.SessionIdle, Reason: why.reason, Message: why.message})
	}
	return out
}

func (r *bgpReport) statusPeer(name string) v1beta1.SpeakerPeer {
	wanted, s := r.orders.bgp.Peers[name], r.sessions.Peers[name]
	out := v1beta1.SpeakerPeer{
		Name: name, State: s.State.String(), Since: since(s.Since), LocalASN: int64(wanted.Session.LocalASN),
		PeerASN: int64(cmp.Or(s.PeerASN, wanted.Session.PeerASN)), RoutesWanted: int32(len(wanted.Routes)), Flaps: int32(s.Flaps),
		BFD: r.statusBFD(name),
	}
	if s.State == bgp.Established {
		out.Local, out.Remote = address(s.Local), address(s.Remote)
		out.HoldTime = int32(s.HoldTime / time.Second)
		out.Families, out.GracefulRestart = families(s.Families), families(s.Graceful)
		out.RoutesSent = int32(s.Announced)
		for _, prefix := range slices.SortedFunc(maps.Keys(s.Withheld), netip.Prefix.Compare) {
			out.Reason, out.Message = string(s.Withheld[prefix]), prefix.String()+" cannot be told: "+string(s.Withheld[prefix])
			break
		}
		return out
	}
	out.Reason, out.Message = string(s.Reason), s.Message
	if p, ok := r.orders.problems[name]; ok {
		out.Reason, out.Message = p.reason, p.message
	}
	if b := out.BFD; b != nil && b.State != bfd.Up.String() && b.Message != "" && s.Reason != bgp.ReasonPathFailed && out.Reason != reasonBFD {
		out.Message += "; BFD: " + b.Message
	}
	return out
}

// statusBFD returns nil where nothing watches the path.
func (r *bgpReport) statusBFD(name string) *v1beta1.SpeakerBFD {
	if why := r.orders.watch[name]; why != "" {
		return &v1beta1.SpeakerBFD{State: bfd.Down.String(), Message: why}
	}
	path, ok := r.orders.paths[name]
	if !ok {
		return nil
	}
	s := r.watched.Sessions[path]
	out := &v1beta1.SpeakerBFD{
		State: s.State.String(), Since: since(s.Since), Message: cmp.Or(r.watched.Problems[path], s.Why()),
		TransmitInterval: int32(s.Interval / time.Millisecond), DetectionTime: int32(s.Detection / time.Millisecond),
		EchoInterval: int32(s.Echo / time.Millisecond), Ups: int64(s.Ups), Downs: int64(s.Downs),
	}
	if s.Diag != 0 {
		out.Diagnostic = s.Diag.String()
	}
	if s.RemoteDiag != 0 {
		out.RemoteDiagnostic = s.RemoteDiag.String()
	}
	return out
}

func since(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func families(f wire.Family) []v1beta1.IPFamily {
	var out []v1beta1.IPFamily
	for _, one := range []struct {
		wire wire.Family
		spec spec.Family
	}{{wire.IPv4, spec.IPv4}, {wire.IPv6, spec.IPv6}} {
		if f.Has(one.wire) {
			out = append(out, v1beta1.IPFamily(one.spec.String()))
		}
	}
	return out
}

// alike tells whether two reports say the same to users and to passes.
func alike(a, b *bgpReport) bool {
	return reflect.DeepEqual(statusBGP(a), statusBGP(b)) && maps.Equal(a.announced, b.announced)
}
