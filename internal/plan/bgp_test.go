package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// config is a pool, two routers (one of our AS) and an advertisement of the pool to both.
func config() *spec.Objects {
	return &spec.Objects{
		Pools: []v1beta1.IPAddressPool{{
			ObjectMeta: metav1.ObjectMeta{Name: "lan", Labels: map[string]string{"tier": "a"}},
			Spec:       v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.0/24", "2001:db8::/64"}},
		}},
		BGPPeers:          []v1beta1.BGPPeer{router("ext", "10.0.0.1", 64501), router("int", "10.0.0.2", 64500)},
		BGPAdvertisements: []v1beta1.BGPAdvertisement{advertisement("all", 0, nil)},
	}
}

func router(name, address string, asn int64) v1beta1.BGPPeer {
	return v1beta1.BGPPeer{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}},
		Spec:       v1beta1.BGPPeerSpec{MyASN: 64500, PeerASN: asn, PeerAddress: v1beta1.Address(address), DualStackAddressFamily: new(true)},
	}
}

// advertisement is one of all pools, as old as age says.
func advertisement(name string, age int, set func(*v1beta1.BGPAdvertisementSpec)) v1beta1.BGPAdvertisement {
	a := v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 100-age, 0, time.UTC)),
	}}
	if set != nil {
		set(&a.Spec)
	}
	return a
}

// told is a node that may announce, has a subnet towards the routers and sessions with both.
func told(name string) Node {
	return Node{
		Node:       spec.Node{Name: name, Ready: true, Labels: labels.Set{"name": name}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.10")}},
		Alive:      true,
		Ready:      true,
		Interfaces: []Interface{{Name: "eth0", Up: true, IPv4: true, IPv6: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}},
		BGP:        BGPFacts{Established: []string{"ext", "int"}},
	}
}

func backends(nodes ...string) spec.Endpoints {
	b := spec.Backends{Nodes: nodes}
	return spec.Endpoints{IPv4: b, IPv6: b}
}

func announcedService(name string, held ...string) Service {
	s := Service{
		Service:   &spec.Service{Key: types.NamespacedName{Namespace: "default", Name: name}, Pools: []string{"lan"}},
		Endpoints: backends("n1", "n2"),
	}
	for _, a := range held {
		s.Held = append(s.Held, netip.MustParseAddr(a))
	}
	return s
}

// routing is a World of three nodes and one Service of both families.
func routing(t testing.TB, o *spec.Objects, change ...func(*World)) World {
	t.Helper()
	snapshot, problems := spec.Parse(*o)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	w := World{
		Config:   snapshot,
		Services: []Service{announcedService("web", "192.0.2.10", "2001:db8::10")},
		Nodes:    []Node{told("n1"), told("n2"), told("n3")},
	}
	for _, f := range change {
		f(&w)
	}
	return w
}

// said writes routes as people do, sorted: "192.0.2.10/32 lp 200 med 5 prepend 3 bw 2000000 [no-export]".
func said(routes map[netip.Prefix]Route) []string {
	out := []string{}
	for _, p := range slices.SortedFunc(mapsKeys(routes), netip.Prefix.Compare) {
		r, words := routes[p], []string{p.String()}
		if r.LocalPref.Set {
			words = append(words, fmt.Sprintf("lp %d", r.LocalPref.V))
		}
		if r.MED.Set {
			words = append(words, fmt.Sprintf("med %d", r.MED.V))
		}
		if r.Prepend > 0 {
			words = append(words, fmt.Sprintf("prepend %d", r.Prepend))
		}
		if r.Bandwidth > 0 {
			words = append(words, fmt.Sprintf("bw %g", r.Bandwidth))
		}
		if r.BandwidthNonTransitive {
			words = append(words, "non-transitive")
		}
		for _, c := range r.Communities.Standard {
			words = append(words, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func mapsKeys(routes map[netip.Prefix]Route) func(func(netip.Prefix) bool) {
	return func(yield func(netip.Prefix) bool) {
		for p := range routes {
			if !yield(p) {
				return
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	one := func(set func(*v1beta1.BGPAdvertisementSpec)) func(*spec.Objects) {
		return func(o *spec.Objects) { o.BGPAdvertisements = []v1beta1.BGPAdvertisement{advertisement("a", 0, set)} }
	}
	four := func(w *World) { w.Services[0].Held = w.Services[0].Held[:1] }
	for _, tt := range []struct {
		name     string
		config   func(*spec.Objects)
		world    func(*World)
		ext, int []string
	}{
		{"host routes of both families", nil, nil, []string{"192.0.2.10/32", "2001:db8::10/128"}, []string{"192.0.2.10/32", "2001:db8::10/128"}},
		{"one family", func(o *spec.Objects) { o.BGPPeers[0].Spec.DualStackAddressFamily = nil }, nil,
			[]string{"192.0.2.10/32"}, []string{"192.0.2.10/32", "2001:db8::10/128"}},
		{"aggregates", one(func(s *v1beta1.BGPAdvertisementSpec) {
			s.AggregationLength, s.AggregationLengthV6 = new(int32(24)), new(int32(64))
		}), nil,
			[]string{"192.0.2.0/24", "2001:db8::/64"}, []string{"192.0.2.0/24", "2001:db8::/64"}},
		{"aggregates beside host routes", one(func(s *v1beta1.BGPAdvertisementSpec) {
			s.AggregationLength, s.AggregateOnly = new(int32(24)), new(false)
		}), four, []string{"192.0.2.0/24", "192.0.2.10/32"}, []string{"192.0.2.0/24", "192.0.2.10/32"}},
		{"an aggregate of which no address is in use here", one(func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = new(int32(24)) }),
			func(w *World) { four(w); w.Services[0].Local, w.Services[0].Endpoints = true, backends("n2") }, []string{}, []string{}},
		{"attributes", one(func(s *v1beta1.BGPAdvertisementSpec) {
			s.LocalPref, s.MED, s.ASPathPrepend, s.Communities = 200, new(int64(0)), 2, []string{"64500:2", "64500:1"}
		}), four, []string{"192.0.2.10/32 lp 200 med 0 prepend 2 64500:1 64500:2"}, []string{"192.0.2.10/32 lp 200 med 0 prepend 2 64500:1 64500:2"}},
		{"other routers", one(func(s *v1beta1.BGPAdvertisementSpec) { s.Peers = []string{"int"} }), four, []string{}, []string{"192.0.2.10/32"}},
		{"routers by label", one(func(s *v1beta1.BGPAdvertisementSpec) {
			s.PeerSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"name": "ext"}}}
		}), four, []string{"192.0.2.10/32"}, []string{}},
		{"two for one prefix: communities joined, the older's attributes", func(o *spec.Objects) {
			o.BGPAdvertisements = []v1beta1.BGPAdvertisement{
				advertisement("a-younger", 1, func(s *v1beta1.BGPAdvertisementSpec) {
					s.LocalPref, s.MED, s.Communities, s.Peers = 100, new(int64(7)), []string{"64500:1", "64500:3"}, []string{"ext"}
				}),
				advertisement("b-older", 2, func(s *v1beta1.BGPAdvertisementSpec) {
					s.LocalPref, s.Communities = 300, []string{"64500:2", "64500:1"}
				}),
			}
		}, four, []string{"192.0.2.10/32 lp 300 med 7 64500:1 64500:2 64500:3"}, []string{"192.0.2.10/32 lp 300 64500:1 64500:2"}},
		{"weights by endpoints, in the form that suits the session", one(func(s *v1beta1.BGPAdvertisementSpec) { s.WeightByEndpoints = true }),
			func(w *World) {
				four(w)
				w.Services[0].Local = true
				w.Services[0].Endpoints.IPv4 = spec.Backends{Nodes: []string{"n1", "n2"}, Counts: []int{3, 1}}
			}, []string{"192.0.2.10/32 bw 3e+06"}, []string{"192.0.2.10/32 bw 3e+06 non-transitive"}},
		{"weights in one form", one(func(s *v1beta1.BGPAdvertisementSpec) { s.WeightByEndpoints, s.LinkBandwidth = true, "transitive" }), four,
			[]string{"192.0.2.10/32 bw 1e+06"}, []string{"192.0.2.10/32 bw 1e+06"}},
		{"weights of an aggregate are summed", one(func(s *v1beta1.BGPAdvertisementSpec) {
			s.WeightByEndpoints, s.AggregationLength, s.LinkBandwidth = true, new(int32(24)), "nonTransitive"
		}), func(w *World) {
			four(w)
			more := announcedService("more", "192.0.2.11")
			more.Local, more.Endpoints.IPv4 = true, spec.Backends{Nodes: []string{"n1"}, Counts: []int{4}}
			w.Services = append(w.Services, more)
		}, []string{"192.0.2.0/24 bw 5e+06 non-transitive"}, []string{"192.0.2.0/24 bw 5e+06 non-transitive"}},
		{"a draining node's routes stay, to be avoided", nil, func(w *World) { four(w); w.Nodes[0].Draining = true }, []string{"192.0.2.10/32"}, []string{"192.0.2.10/32"}},
		{"a node that is not ready tells nothing new", nil, func(w *World) { four(w); w.Nodes[0].Node.Ready = false }, []string{}, []string{}},
		{"and keeps what it has told", nil, func(w *World) {
			w.Nodes[0].Node.Ready = false
			w.BGP.Told = map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.10/32"): true}
		}, []string{"192.0.2.10/32"}, []string{"192.0.2.10/32"}},
		{"a speaker that starts", nil, func(w *World) { w.Nodes[0].Ready = false }, []string{}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := config()
			if tt.config != nil {
				tt.config(o)
			}
			snapshot, _ := spec.Parse(*o)
			w := routing(t, config(), func(w *World) { w.Config = snapshot })
			if tt.world != nil {
				tt.world(&w)
			}
			p := MakeBGP(w, "n1")
			if d := cmp.Diff(tt.ext, said(p.Peers["ext"].Routes)); d != "" {
				t.Error("ext:", d)
			}
			if d := cmp.Diff(tt.int, said(p.Peers["int"].Routes)); d != "" {
				t.Error("int:", d)
			}
		})
	}
}

func TestWithheldFromRouters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		world  func(*World)
		reason spec.Reason
		words  string
	}{
		{"announced", func(*World) {}, "", ""},
		{"no advertisement selects it", func(w *World) { w.Config.BGP.Advertisements[0].Pools = []string{"dmz"} }, "", ""},
		{"another proxy", func(w *World) { w.Services[0].ProxyName = "x" }, ReasonServiceProxy, "x"},
		{"no pods", func(w *World) { w.Services[0].Endpoints = spec.Endpoints{} }, ReasonNoEndpoints, "IPv4"},
		{"no pods here", func(w *World) { w.Services[0].Local, w.Services[0].Endpoints = true, backends("n2") }, ReasonNoLocalEndpoint, "no pod"},
		{"not this node", func(w *World) { w.Config.BGP.Advertisements[0].Nodes = []labels.Selector{labels.Nothing()} }, ReasonNotSelected, "selects the node"},
		{"no router", func(w *World) { w.Config.BGP.Peers = nil }, ReasonNoPeer, "no BGPPeer"},
		{"the Node is not ready", func(w *World) { w.Nodes[0].Node.Ready = false }, ReasonNodeNotReady, "nothing new"},
		{"no speaker", func(w *World) { w.Nodes[0].Alive = false }, ReasonNoSpeaker, "nothing new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := routing(t, config(), func(w *World) { w.Services[0].Held = w.Services[0].Held[:1] }, tt.world)
			got := MakeBGP(w, "n1").Withheld
			if tt.reason == "" {
				if len(got) > 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Reason != tt.reason || !strings.Contains(got[0].Message, tt.words) || got[0].Service.Name != "web" {
				t.Errorf("got %+v", got)
			}
		})
	}
	if p := MakeBGP(routing(t, config()), "n9"); len(p.Peers)+len(p.Withheld) > 0 {
		t.Errorf("a node that does not exist says %+v", p)
	}
}

func TestSessions(t *testing.T) {
	strict := func(o *spec.Objects) {
		o.BGPPeers[0].Spec.BFDProfile, o.BGPPeers[0].Spec.BFDStrict = "fast", new(true)
	}
	fast := v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Spec: v1beta1.BFDProfileSpec{EchoMode: new(true)}}
	for _, tt := range []struct {
		name   string
		config func(*spec.Objects)
		world  func(*World)
		want   string // of peer ext
	}{
		{"up", nil, nil, "Up"},
		{"draining", nil, func(w *World) { w.Nodes[0].Draining = true }, "Draining NodeDraining"},
		{"excluded", nil, func(w *World) { w.Nodes[0].Excluded = true }, "Draining NodeExcluded"},
		{"starting", nil, func(w *World) { w.Nodes[0].Ready = false }, "Down SpeakerNotReady"},
		{"about to leave, with routes", nil, func(w *World) {
			w.Nodes[0].Ready = false
			w.BGP.Told = map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.10/32"): true}
		}, "Up"},
		{"not ready", nil, func(w *World) { w.Nodes[0].Node.Ready = false }, "Up"},
		{"without rules yet", nil, func(w *World) {
			w.Nodes[0].Dataplane, w.Nodes[0].BGP.Established = DataplaneWaiting, []string{"int"}
		}, "Down DataplaneWaiting"},
		{"with a session and nothing to tell, of a kube-proxy that starts anew", nil, func(w *World) { w.Nodes[0].Dataplane = DataplaneWaiting }, "Up"},
		{"with routes, of a kube-proxy that starts anew", nil, func(w *World) {
			w.Nodes[0].Dataplane = DataplaneWaiting
			w.BGP.Told = map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.10/32"): true}
		}, "Up"},
		{"with a kube-proxy that is ill", nil, func(w *World) { w.Nodes[0].Dataplane = DataplaneUnhealthy }, "Up"},
		{"not selected", func(o *spec.Objects) {
			o.BGPPeers[0].Spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{"name": "n2"}}}
		}, nil, "none"},
		{"a missing profile", func(o *spec.Objects) { o.BGPPeers[0].Spec.BFDProfile = "fast" }, nil, "Up"},
		{"a missing profile, strictly", strict, nil, "Down UnknownBFDProfile"},
		{"watched", func(o *spec.Objects) { strict(o); o.BFDProfiles = []v1beta1.BFDProfile{fast} }, nil, "Up BFD fast echo 50ms"},
		{"watched over several hops", func(o *spec.Objects) {
			strict(o)
			o.BGPPeers[0].Spec.EBGPMultiHop = new(true)
			o.BFDProfiles = []v1beta1.BFDProfile{fast}
		}, nil, "Up BFD fast multihop; NoEcho"},
		{"an older one is the same router", func(o *spec.Objects) {
			o.BGPPeers[0].Spec.PeerAddress = "10.0.0.2"
			o.BGPPeers[0].CreationTimestamp = metav1.NewTime(time.Unix(9, 0))
		}, nil, "broken DuplicatePeer"},
		{"a node without the label", func(o *spec.Objects) {
			o.BGPPeers[0].Spec.MyASN, o.BGPPeers[0].Spec.MyASNFrom = 0, &v1beta1.NodeValue{NodeLabel: "rack-asn"}
		}, nil, "broken BadNodeValue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := config()
			if tt.config != nil {
				tt.config(o)
			}
			snapshot, _ := spec.Parse(*o)
			w := routing(t, config(), func(w *World) { w.Config = snapshot })
			if tt.world != nil {
				tt.world(&w)
			}
			if got := sessionInWords(MakeBGP(w, "n1")); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func sessionInWords(p BGPPlan) string {
	if b, broken := p.Broken["ext"]; broken {
		return "broken " + string(b.Reason)
	}
	s, ok := p.Peers["ext"]
	if !ok {
		return "none"
	}
	words := s.Mode.String()
	if s.Reason != "" {
		words += " " + string(s.Reason)
	}
	if s.BFD != nil {
		words += " BFD " + s.BFD.Profile.Name
		if s.BFD.Profile.Echo > 0 {
			words += " echo " + s.BFD.Profile.Echo.String()
		}
		if s.BFD.MultiHop {
			words += " multihop"
		}
	}
	for _, problem := range p.Problems {
		words += "; " + string(problem.Reason)
	}
	return words
}

func TestMultiHopOfBFD(t *testing.T) {
	n := told("n1")
	at := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, tt := range []struct {
		name string
		s    spec.Session
		want bool
	}{
		{"a neighbour of another AS", spec.Session{LocalASN: 1, PeerASN: 2, TTL: 1, Address: at("198.51.100.1")}, false},
		{"another AS, multihop", spec.Session{LocalASN: 1, PeerASN: 2, TTL: 255, Address: at("10.0.0.1")}, true},
		{"two hops by GTSM", spec.Session{LocalASN: 1, PeerASN: 2, TTL: 1, SecurityHops: 2, Address: at("10.0.0.1")}, true},
		{"our AS, on the link", spec.Session{LocalASN: 1, PeerASN: 1, TTL: 1, Address: at("10.0.0.1")}, false},
		{"our AS, elsewhere", spec.Session{LocalASN: 1, PeerASN: 1, TTL: 1, Address: at("198.51.100.1")}, true},
		{"our AS, elsewhere, but one hop by GTSM", spec.Session{LocalASN: 1, PeerASN: 1, TTL: 1, SecurityHops: 1, Address: at("198.51.100.1")}, false},
		{"our AS, link-local", spec.Session{LocalASN: 1, PeerASN: 1, TTL: 1, Address: at("fe80::1%eth0")}, false},
		{"our AS, unnumbered", spec.Session{LocalASN: 1, PeerType: spec.Internal, TTL: 1, Interface: "eth0"}, false},
	} {
		if got := n.multiHop(tt.s); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestDiscard(t *testing.T) {
	o := config()
	o.BGPAdvertisements = []v1beta1.BGPAdvertisement{
		advertisement("a", 0, func(s *v1beta1.BGPAdvertisementSpec) {
			s.DiscardUnused, s.AggregationLength, s.Peers = true, new(int32(24)), []string{"ext"}
		}),
		advertisement("b", 1, nil),
	}
	w := routing(t, o)
	if d := cmp.Diff([]string{"192.0.2.0/24", "2001:db8::10/128"}, words(MakeBGP(w, "n1").Discard)); d != "" {
		t.Error(d)
	}
	w.Services[0].Endpoints = spec.Endpoints{}
	if got := MakeBGP(w, "n1").Discard; len(got) > 0 {
		t.Error("with no route left,", got)
	}
}

func words[T fmt.Stringer](list []T) []string {
	out := []string{}
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}
