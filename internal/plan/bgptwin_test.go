package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// TestRoutesAgainstTwin compares the routes of random Worlds with those found by asking, for each router and each prefix that
// there could be, every Service and every advertisement.
func TestRoutesAgainstTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		w := randomRouting(t, rnd)
		for _, n := range w.Nodes {
			p := MakeBGP(w, n.Name)
			for _, peer := range w.Config.BGP.Peers {
				got, want := p.Peers[peer.Name].Routes, twin(t, w, n, peer)
				if d := cmp.Diff(said(want), said(got)); d != "" {
					t.Fatalf("World %d, node %s, router %s: %s", i, n.Name, peer.Name, d)
				}
			}
		}
	}
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func randomRouting(t *testing.T, rnd *rand.Rand) World {
	t.Helper()
	o := config()
	o.Pools = append(o.Pools, v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: "dmz"},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"198.51.100.0/24"}},
	})
	o.BGPPeers = append(o.BGPPeers, router("third", "10.0.0.3", 64501))
	for i := range o.BGPPeers {
		o.BGPPeers[i].Spec.DualStackAddressFamily = new(rnd.IntN(2) == 0)
	}
	o.BGPAdvertisements = nil
	for i := range 1 + rnd.IntN(4) {
		o.BGPAdvertisements = append(o.BGPAdvertisements, advertisement(fmt.Sprintf("a%d", i), rnd.IntN(3), func(s *v1beta1.BGPAdvertisementSpec) {
			byName := func(key string, names ...string) []metav1.LabelSelector {
				return pick(rnd, nil, nil, []metav1.LabelSelector{{MatchLabels: map[string]string{key: pick(rnd, names...)}}})
			}
			s.IPAddressPools = pick(rnd, nil, []string{"lan"}, []string{"dmz", "lan"})
			s.NodeSelectors, s.PeerSelectors = byName("name", "n1", "n2"), byName("name", "ext", "third")
			s.ServiceSelectors = byName("tier", "a", "b")
			s.AggregationLength, s.AggregateOnly = new(pick[int32](rnd, 24, 31, 32)), new(rnd.IntN(2) == 0)
			s.LocalPref, s.ASPathPrepend = pick[int64](rnd, 0, 0, 50, 200), pick[int32](rnd, 0, 0, 1, 2)
			s.MED = pick(rnd, nil, nil, new(int64(0)), new(int64(9)))
			s.Communities = pick(rnd, nil, []string{"64500:1"}, []string{"64500:2", "no-export"})
			s.WeightByEndpoints = rnd.IntN(3) == 0
		}))
	}
	snapshot, _ := spec.Parse(*o)
	w := World{Config: snapshot, Nodes: []Node{told("n1"), told("n2"), told("n3")}}
	for i := range w.Nodes {
		w.Nodes[i].Node.Ready = rnd.IntN(5) > 0
	}
	for i := range rnd.IntN(8) {
		a, pool := pick(rnd, "192.0.2.%d", "198.51.100.%d", "2001:db8::%d"), "lan"
		if a == "198.51.100.%d" {
			pool = "dmz"
		}
		s := announcedService(fmt.Sprintf("s%d", i), fmt.Sprintf(a, rnd.IntN(5)))
		s.Pools, s.Labels = []string{pool}, spec.Labels{{Key: "tier", Value: pick(rnd, "a", "b")}}
		s.Local, s.Created = rnd.IntN(2) == 0, metav1.Unix(int64(rnd.IntN(3)), 0).Time
		s.UID = "uid-" + s.UID
		s.Endpoints = randomEndpoints(rnd)
		w.Services = append(w.Services, s)
	}
	return w
}

func randomEndpoints(rnd *rand.Rand) spec.Endpoints {
	var b spec.Backends
	for _, n := range []string{"n1", "n2", "n3"} {
		if rnd.IntN(2) == 0 {
			b.Nodes, b.Counts = append(b.Nodes, n), append(b.Counts, 1+rnd.IntN(3))
		}
	}
	b.Anywhere = rnd.IntN(10) == 0
	return spec.Endpoints{IPv4: b, IPv6: b}
}

// twin finds what one router is told by one node, the slow way.
func twin(t *testing.T, w World, n Node, peer spec.Peer) map[netip.Prefix]Route {
	t.Helper()
	session, problem := peer.On(n.Node)
	if problem != nil {
		t.Fatal(problem)
	}
	routes := map[netip.Prefix]Route{}
	if n.canAcquire() != "" {
		return routes
	}
	advs := slices.SortedFunc(slices.Values(w.Config.BGP.Advertisements), spec.BGPAdvertisement.Older)
	selects := func(a spec.BGPAdvertisement, s Service, node Node) bool {
		return a.SelectsPool(s.Pools[0], w.Config.PoolLabels[s.Pools[0]]) && a.SelectsService(s.Labels) && a.SelectsNode(node.Labels)
	}
	prefixes := map[netip.Prefix]bool{}
	for _, s := range w.Services {
		for bits := range s.Held[0].BitLen() + 1 {
			prefixes[prefix(s.Held[0], bits)] = true
		}
	}
	for p := range prefixes {
		var says []spec.BGPAdvertisement
		weight := 0
		for _, a := range advs {
			used := false
			for _, s := range w.Services {
				f := spec.FamilyOf(s.Held[0])
				length := p.Bits() == a.Length(f) || a.HostRoutes && p.IsSingleIP()
				if p.Contains(s.Held[0]) && length && selects(a, s, n) && a.SelectsPeer(peer) && session.Carries(f) && twinServes(w, s, n, selects) {
					used = true
				}
			}
			if used {
				says = append(says, a)
			}
		}
		if says == nil {
			continue
		}
		weighted := slices.ContainsFunc(says, func(a spec.BGPAdvertisement) bool { return a.Weighted })
		for _, s := range w.Services {
			f := spec.FamilyOf(s.Held[0])
			counts := slices.ContainsFunc(says, func(a spec.BGPAdvertisement) bool {
				return a.Weighted && (p.Bits() == a.Length(f) || a.HostRoutes && p.IsSingleIP()) && selects(a, s, n)
			})
			switch {
			case !counts || !p.Contains(s.Held[0]) || !twinServes(w, s, n, selects):
			case s.Local:
				weight += s.Endpoints.Of(f).Count(n.Name)
			default:
				weight++
			}
		}
		routes[p] = twinRoute(says, weighted, weight, session.IBGP())
	}
	return routes
}

func twinRoute(says []spec.BGPAdvertisement, weighted bool, weight int, ibgp bool) Route {
	var r Route
	for _, a := range slices.Backward(says) { // the oldest last, so that it overwrites
		if a.LocalPref.Set {
			r.LocalPref = a.LocalPref
		}
		if a.MED.Set {
			r.MED = a.MED
		}
		if a.Prepend > 0 {
			r.Prepend = a.Prepend
		}
		r.Communities = r.Communities.Join(a.Communities)
	}
	if weighted && weight > 0 {
		r.Bandwidth, r.BandwidthNonTransitive = float32(weight)*bandwidthOfEndpoint, ibgp
	}
	return r
}

// twinServes tells whether the node announces the Service's address, as far as pods go.
func twinServes(w World, s Service, n Node, selects func(spec.BGPAdvertisement, Service, Node) bool) bool {
	a, f := s.Held[0], spec.FamilyOf(s.Held[0])
	if !CanServe(s, f, n.Name) {
		return false
	}
	var may []Node // announce the address
	for _, m := range w.Nodes {
		if m.canAcquire() == "" && slices.ContainsFunc(w.Services, func(o Service) bool {
			return o.Held[0] == a && slices.ContainsFunc(w.Config.BGP.Advertisements, func(adv spec.BGPAdvertisement) bool { return selects(adv, o, m) })
		}) {
			may = append(may, m)
		}
	}
	var sharers []Service
	for _, o := range w.Services {
		if o.Held[0] == a && slices.ContainsFunc(may, func(m Node) bool { return CanServe(o, f, m.Name) }) {
			sharers = append(sharers, o)
		}
	}
	all := func(m Node) bool {
		return !slices.ContainsFunc(sharers, func(o Service) bool { return !CanServe(o, f, m.Name) })
	}
	if all(n) {
		return true
	}
	return !slices.ContainsFunc(may, all) && CanServe(slices.MinFunc(sharers, elder), f, n.Name)
}
