package speaker

import (
	"net/netip"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

func bgpPeer(name string, edit ...func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	p := &v1beta1.BGPPeer{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1beta1.BGPPeerSpec{MyASN: 64512, PeerASN: 64513, PeerAddress: "192.0.2.254"},
	}
	for _, e := range edit {
		e(&p.Spec)
	}
	return p
}

// TestPassTellsRouters: from the API's objects to what the engine gets, and from there to the status.
func TestPassTellsRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, o := range []*v1beta1.BGPPeer{
			bgpPeer("plain"),
			bgpPeer("secret", func(s *v1beta1.BGPPeerSpec) {
				s.PeerAddress, s.PasswordSecret = "192.0.2.253", &corev1.SecretReference{Name: "bgp"}
			}),
			bgpPeer("broken", func(s *v1beta1.BGPPeerSpec) {
				s.PeerAddress, s.PeerAddressFrom = "", &v1beta1.NodeValue{NodeLabel: "tor"}
			}),
		} {
			must(t, r.api.Create(t.Context(), o))
		}
		must(t, r.api.Create(t.Context(), &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}))
		r.during(func() {
			close(r.members.settled)
			close(r.wire.opened)
			synctest.Wait()
			w := r.routers.last.Load()
			if len(w.peers["plain"].routes) != 1 || w.peers["plain"].down != nil {
				t.Errorf("the router is told %v, down %v", w.peers["plain"].routes, w.peers["plain"].down)
			}
			if got := w.peers["secret"].password.problem; got != "there is no Secret belfry-system/bgp" {
				t.Errorf("password: %q", got)
			}
			if w.broken["broken"].message != "node n1 has no label tor" {
				t.Errorf("broken: %v", w.broken)
			}
			must(t, r.api.Create(t.Context(), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bgp"}, Data: map[string][]byte{secretKey: []byte("sesame")},
			}))
			r.routers.says.Store(&bgpReport{
				sessions:  bgp.Running{Peers: map[string]bgp.Status{"plain": {State: bgp.Established}}},
				orders:    orders{bgp: bgp.Desired{Peers: map[string]bgp.Peer{"plain": {}}}, broken: w.broken},
				announced: map[netip.Prefix]bool{},
			})
			r.changed.raise()
			elapse(restAtMost)
			w = r.routers.last.Load()
			if got := w.peers["secret"].password; got != (secret{value: "sesame"}) {
				t.Errorf("password: %v", got)
			}
		})
		last := r.reports[len(r.reports)-1].BGP.Peers
		if len(last) != 2 || last[0].Name != "plain" || last[0].State != v1beta1.SessionEstablished || last[1].State != v1beta1.SessionIdle || last[1].Message == "" {
			t.Errorf("status %+v", last)
		}
		told, err := decodeFacts(r.members.roster[0].Facts)
		if must(t, err); len(told.BGP.Established) != 1 {
			t.Errorf("the others are told of sessions %v", told.BGP.Established)
		}
	})
}

func TestSecretsOfOtherNamespaces(t *testing.T) {
	c := fakeAPI(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "root"}, Data: map[string][]byte{secretKey: []byte("x")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "empty"}}).Build()
	for _, tc := range []struct {
		ref  spec.SecretRef
		want string
	}{
		{spec.SecretRef{Namespace: "kube-system", Name: "root"}, "Secret kube-system/root is not in namespace belfry-system, the only one where Secrets are read"},
		{spec.SecretRef{Name: "empty"}, `Secret belfry-system/empty has nothing under "password"`},
		{spec.SecretRef{}, ""},
	} {
		if got := secretOf(t.Context(), c, ns, tc.ref); got != (secret{problem: tc.want}) {
			t.Errorf("%v: %v", tc.ref, got)
		}
	}
}

func TestWithdrawnWaitsForRouters(t *testing.T) {
	a, shared := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	r := &fakeRouters{}
	p := &passer{routing: r}
	p.bgp = plan.BGPPlan{Peers: map[string]plan.BGPPeer{"r": {Routes: map[netip.Prefix]plan.Route{netip.PrefixFrom(shared, 32): {}}}}}
	service := func(a netip.Addr) spec.Service { return spec.Service{Held: []netip.Addr{a}} }
	if p.lingersBGP(service(a)) {
		t.Error("before BGP has begun")
	}
	r.says.Store(&bgpReport{announced: map[netip.Prefix]bool{netip.PrefixFrom(a, 32): true, netip.PrefixFrom(shared, 32): true}})
	if !p.lingersBGP(service(a)) {
		t.Error("a router still knows it")
	}
	if p.lingersBGP(service(shared)) {
		t.Error("another Service wants it announced")
	}
}

// bgpConfig is two routers that are told everything.
func bgpConfig(tb testing.TB) *spec.Snapshot {
	tb.Helper()
	snapshot, problems := spec.Parse(spec.Objects{
		BGPPeers:          []v1beta1.BGPPeer{*bgpPeer("r1"), *bgpPeer("r2", func(s *v1beta1.BGPPeerSpec) { s.PeerAddress = "192.0.2.253" })},
		BGPAdvertisements: []v1beta1.BGPAdvertisement{{ObjectMeta: metav1.ObjectMeta{Name: "all"}}},
	})
	if len(problems) != 0 {
		tb.Fatal(problems)
	}
	return snapshot
}
