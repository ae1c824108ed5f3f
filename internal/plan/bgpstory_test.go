package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// affine is a World in which web wants one node for each client.
func affine(t *testing.T, set func(*v1beta1.BGPAdvertisementSpec)) World {
	o := config()
	o.BGPAdvertisements = []v1beta1.BGPAdvertisement{advertisement("a", 0, set)}
	return routing(t, o, func(w *World) {
		w.Services[0].ClientIP, w.Services[0].Held = true, w.Services[0].Held[:1]
	})
}

// settle lets every node plan and hear the others' claims until nothing changes, and returns who is preferred for the
// address: those that are not backups, and the path of the backups.
func settle(t *testing.T, w World) (preferred []string, backup string) {
	t.Helper()
	for range 10 {
		preferred, backup = nil, ""
		var claims [][]BGPClaim
		for _, n := range w.Nodes {
			if !n.Alive { // it says nothing, and is known for what it said last
				claims = append(claims, n.BGP.Claims)
				if n.BGP.Claims != nil {
					preferred = append(preferred, n.Name)
				}
				continue
			}
			p := MakeBGP(w, n.Name)
			claims = append(claims, p.Claims)
			switch route := strings.Join(said(p.Peers["ext"].Routes), ", "); {
			case route == "":
			case strings.Contains(route, "prepend"):
				backup = route
			default:
				preferred = append(preferred, n.Name)
			}
		}
		same := true
		for i := range w.Nodes {
			same = same && slices.Equal(w.Nodes[i].BGP.Claims, claims[i])
			w.Nodes[i].BGP.Claims = claims[i]
		}
		if same {
			return preferred, backup
		}
	}
	t.Fatal("the nodes do not come to an end")
	return nil, ""
}

// TestAffinity is the story of an address whose clients stay with one node.
func TestAffinity(t *testing.T) {
	w := affine(t, nil)
	at := func(name string) *Node {
		return &w.Nodes[slices.IndexFunc(w.Nodes, func(n Node) bool { return n.Name == name })]
	}
	first, backup := settle(t, w)
	if len(first) != 1 || backup != "192.0.2.10/32 lp 99 prepend 3" {
		t.Fatalf("preferred %v, backup %q", first, backup)
	}
	chosen := at(first[0])

	step := func(what string, change func()) []string {
		t.Helper()
		change()
		now, _ := settle(t, w)
		if len(now) != 1 {
			t.Fatalf("%s: preferred %v", what, now)
		}
		return now
	}
	stays := func(what string, change func()) {
		t.Helper()
		if now := step(what, change); now[0] != chosen.Name {
			t.Fatalf("%s: moved from %s to %s", what, chosen.Name, now[0])
		}
	}
	moves := func(what string, change func()) {
		t.Helper()
		now := step(what, change)
		if now[0] == chosen.Name {
			t.Fatalf("%s: stayed at %s", what, now[0])
		}
		chosen = at(now[0])
	}
	stays("its Node is not ready, the session is there", func() {
		chosen.Node.Ready = false
		w.BGP.Told = map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.10/32"): true}
	})
	stays("it is ready again", func() { chosen.Node.Ready, w.BGP.Told = true, nil })
	stays("one of two sessions is lost", func() { chosen.BGP.Established = []string{"int"} })
	stays("its speaker restarts", func() { chosen.Alive, chosen.Ready, chosen.Away = false, false, true })
	stays("its speaker is back", func() { chosen.Alive, chosen.Ready, chosen.Away = true, true, false })
	old := chosen
	moves("the other is lost, too", func() { chosen.BGP.Established = nil })
	stays("the old one is back", func() { old.BGP.Established = []string{"ext", "int"} })
	stays("the old one claims what it had", func() { old.BGP.Claims = []BGPClaim{{Addr: w.Services[0].Held[0], Epoch: 1}} })
	drained := chosen
	moves("it is drained", func() { chosen.Draining = true })
	stays("it is in use again", func() { drained.Draining = false })
	moves("its pods are gone", func() {
		w.Services[0].Local = true
		var others []string
		for _, n := range w.Nodes {
			if n.Name != chosen.Name {
				others = append(others, n.Name)
			}
		}
		w.Services[0].Endpoints = backends(others...)
	})
}

func TestAffinityIsNotForAll(t *testing.T) {
	everybody := []string{"n1", "n2", "n3"}
	for _, tt := range []struct {
		name  string
		set   func(*v1beta1.BGPAdvertisementSpec)
		world func(*World)
		want  int // nodes that are preferred
	}{
		{"it is", nil, nil, 1},
		{"nobody asked", nil, func(w *World) { w.Services[0].ClientIP = false }, 3},
		{"the routers do it", func(s *v1beta1.BGPAdvertisementSpec) { s.ClientIPAffinity = "ecmp" }, nil, 3},
		{"an aggregate only", func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = new(int32(24)) }, nil, 3},
		{"one of two who share the address", nil, func(w *World) {
			w.Services[0].ClientIP = false
			other := announcedService("other", "192.0.2.10")
			other.ClientIP = true
			w.Services = append(w.Services, other)
		}, 1},
		{"who asks is not served", nil, func(w *World) {
			w.Services[0].ClientIP = false
			other := announcedService("other", "192.0.2.10")
			other.ClientIP, other.Endpoints = true, spec.Endpoints{}
			w.Services = append(w.Services, other)
		}, 3},
		{"no session yet", nil, func(w *World) {
			for i := range w.Nodes {
				w.Nodes[i].BGP.Established = nil
			}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := affine(t, tt.set)
			if tt.world != nil {
				tt.world(&w)
			}
			if got, _ := settle(t, w); len(got) != tt.want {
				t.Errorf("preferred %v of %v", got, everybody)
			}
		})
	}
}

// TestBackupBesideAggregate: a backup's aggregate is like anybody's, its host route is not.
func TestBackupBesideAggregate(t *testing.T) {
	w := affine(t, func(s *v1beta1.BGPAdvertisementSpec) {
		s.AggregationLength, s.AggregateOnly, s.LocalPref, s.ASPathPrepend = new(int32(24)), new(false), 200, 1
	})
	w.Nodes[1].BGP.Claims = []BGPClaim{{Addr: w.Services[0].Held[0], Epoch: 7}}
	if got := strings.Join(said(MakeBGP(w, "n1").Peers["int"].Routes), ", "); got != "192.0.2.0/24 lp 200 prepend 1, 192.0.2.10/32 lp 199 prepend 4" {
		t.Error(got)
	}
	p := MakeBGP(w, "n2")
	if got := strings.Join(said(p.Peers["int"].Routes), ", "); got != "192.0.2.0/24 lp 200 prepend 1, 192.0.2.10/32 lp 200 prepend 1" {
		t.Error(got)
	}
	if len(p.Claims) != 1 || p.Claims[0].Epoch != 7 {
		t.Error(p.Claims)
	}
}

// TestSharedByRouters: a shared address is announced where all its Services are served, if there is such a node.
func TestSharedByRouters(t *testing.T) {
	sharer := func(name string, age int, nodes ...string) Service {
		s := announcedService(name, "192.0.2.10")
		s.Local, s.Endpoints, s.HeldSince = true, backends(nodes...), time.Unix(int64(age), 0)
		return s
	}
	for _, tt := range []struct {
		name    string
		sharers []Service
		want    string
	}{
		{"one serves both", []Service{sharer("web", 1, "n1", "n2"), sharer("dns", 2, "n2", "n3")}, "n2"},
		{"all serve both", []Service{sharer("web", 1, "n1", "n2"), sharer("dns", 2, "n1", "n2")}, "n1 n2"},
		{"nobody serves both", []Service{sharer("web", 2, "n1"), sharer("dns", 1, "n3")}, "n3"},
		{"one is served by nobody", []Service{sharer("web", 1), sharer("dns", 2, "n3")}, "n3"},
		{"one is served by a node that is gone", []Service{sharer("web", 1, "n9"), sharer("dns", 2, "n3")}, "n3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := routing(t, config(), func(w *World) { w.Services = tt.sharers })
			var by []string
			for _, n := range w.Nodes {
				if p := MakeBGP(w, n.Name); len(p.Peers["ext"].Routes) > 0 {
					by = append(by, n.Name)
				}
			}
			if got := strings.Join(by, " "); got != tt.want {
				t.Errorf("announced by %s, want %s", got, tt.want)
			}
		})
	}
}

// TestOneIsPreferred: in any World, once the claims have gone round, at most one node is preferred for an address, and one is
// whenever a node that may acquire can serve it and has a session.
func TestOneIsPreferred(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	flip := func(p float64) bool { return rnd.Float64() < p }
	for range 500 {
		w := affine(t, nil)
		for i := range w.Nodes {
			n := &w.Nodes[i]
			n.Node.Ready, n.Draining = flip(.8), flip(.2)
			if flip(.3) {
				n.BGP.Established = nil
			}
			if flip(.5) {
				n.BGP.Claims = []BGPClaim{{Addr: w.Services[0].Held[0], Epoch: uint64(rnd.IntN(3))}}
			}
		}
		w.Services[0].Local = flip(.5)
		want := slices.ContainsFunc(w.Nodes, func(n Node) bool {
			return n.canAcquire() == "" && CanServe(w.Services[0], spec.IPv4, n.Name) && n.BGP.Established != nil
		})
		got, _ := settle(t, w)
		if len(got) > 1 || want && len(got) == 0 {
			t.Fatalf("preferred %v in %s", got, fmt.Sprintf("%+v", w.Nodes))
		}
	}
}

func TestAffinityProblems(t *testing.T) {
	aggregate := func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = new(int32(24)) }
	for _, tt := range []struct {
		name   string
		advs   []v1beta1.BGPAdvertisement
		change func(*World)
		want   string
	}{
		{"host routes", []v1beta1.BGPAdvertisement{advertisement("a", 0, nil)}, nil, ""},
		{"an aggregate", []v1beta1.BGPAdvertisement{advertisement("a", 0, aggregate)}, nil, "a: sessionAffinity: ClientIP of Service default/web does not hold: of 192.0.2.10 only the aggregate 192.0.2.0/24"},
		{"an aggregate, and nobody cares", []v1beta1.BGPAdvertisement{advertisement("a", 0, aggregate)}, func(w *World) { w.Services[0].ClientIP = false }, ""},
		{"an aggregate and host routes", []v1beta1.BGPAdvertisement{advertisement("a", 0, aggregate), advertisement("b", 1, nil)}, nil, ""},
		{"none", nil, nil, ""},
	} {
		w := affine(t, nil)
		o := config()
		o.BGPAdvertisements = tt.advs
		w.Config, _ = spec.Parse(*o)
		if tt.change != nil {
			tt.change(&w)
		}
		w.Services = append(w.Services, w.Services[0])
		var got []string
		for _, p := range AffinityProblems(w.Config, w.Services) {
			got = append(got, p.Name+": "+p.Message)
		}
		if len(got) > 1 || !strings.HasPrefix(strings.Join(got, ""), tt.want) || tt.want == "" && got != nil {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
