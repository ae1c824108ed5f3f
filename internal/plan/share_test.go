package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/internal/spec"
)

// sharer is a Service with externalTrafficPolicy Local, elder than those that come after it in age.
func sharer(name string, age int, nodes ...string) Service {
	s := service(name, vip)
	s.Local, s.Endpoints = true, pods(nodes...)
	s.HeldSince = time.Date(2026, 1, 1, 0, 0, age, 0, time.UTC)
	return s
}

func TestSharersHaveOneAnnouncer(t *testing.T) {
	everywhere := sharer("everywhere", 9)
	everywhere.Local, everywhere.Endpoints = false, pods("n1")
	nowhere := sharer("nowhere", 0)
	proxied := sharer("proxied", 0, "n3")
	proxied.ProxyName = "other"
	for _, tc := range []struct {
		name     string
		services []Service
		want     string   // the owner, "" for nobody
		withheld []string // Service, reason
	}{
		{"one node serves both", []Service{sharer("a", 1, "n1", "n2"), sharer("b", 2, "n2", "n3")}, "n2", nil},
		{"three, one node in common", []Service{sharer("a", 1, "n1", "n2", "n3"), sharer("b", 2, "n2", "n3"), sharer("c", 3, "n1", "n3")}, "n3", nil},
		{"no node in common: the eldest's", []Service{sharer("a", 2, "n1"), sharer("b", 1, "n3")}, "n3", []string{"a SharedElsewhere"}},
		{"two of three have one in common", []Service{sharer("a", 1, "n1"), sharer("b", 2, "n1"), sharer("c", 3, "n3")}, "n1", []string{"c SharedElsewhere"}},
		{"one without endpoints is left out", []Service{nowhere, sharer("b", 2, "n3")}, "n3", []string{"nowhere NoEndpoints"}},
		{"one of a node without speaker is left out", []Service{sharer("a", 1, "n9"), sharer("b", 2, "n2")}, "n2", []string{"a NoNode"}},
		{"one of another proxy is left out", []Service{proxied, sharer("b", 2, "n2")}, "n2", []string{"proxied ServiceProxyName"}},
		{"Cluster goes where Local can", []Service{everywhere, sharer("b", 10, "n3")}, "n3", nil},
		{"nobody can be served", []Service{nowhere, sharer("a", 1, "n9")}, "", []string{"nowhere NoEndpoints", "a NoNode"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := world(func(w *World) { w.Services = tc.services })
			if got := owners(t, w)[vip]; got != tc.want {
				t.Fatalf("announced by %q, want %q", got, tc.want)
			}
			for _, n := range w.Nodes {
				var got []string
				for _, x := range Make(w, n.Name).Withheld {
					if x.Reason != ReasonOtherNode {
						got = append(got, fmt.Sprintf("%s %s", x.Service.Name, x.Reason))
					}
					if x.Reason == ReasonSharedElsewhere && !strings.Contains(x.Message, "announced by node "+tc.want) {
						t.Errorf("%q does not name node %s", x.Message, tc.want)
					}
				}
				if !slices.Equal(got, tc.withheld) {
					t.Errorf("%s: withheld %v, want %v", n.Name, got, tc.withheld)
				}
			}
		})
	}
}

// TestNoSharerSilencesAnother: whoever shares with whom, an address is announced as soon as one of them could have it
// alone, by one node, and that node serves every sharer that anybody serves wherever such a node exists.
func TestNoSharerSilencesAnother(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		w := world(func(w *World) { w.Services = nil })
		for i := range 2 + r.IntN(4) {
			var nodes []string
			for n := range 4 { // n4 has no speaker
				if r.IntN(2) == 0 {
					nodes = append(nodes, fmt.Sprintf("n%d", n+1))
				}
			}
			w.Services = append(w.Services, sharer(fmt.Sprintf("s%d", i), r.IntN(3), nodes...))
		}
		owner := owners(t, w)[vip]
		var served []Service
		for _, s := range w.Services {
			if slices.ContainsFunc(w.Nodes, func(n Node) bool { return CanServe(s, spec.IPv4, n.Name) }) {
				served = append(served, s)
			}
		}
		if (owner == "") != (len(served) == 0) {
			t.Fatalf("owner %q, though %d of %d can be served", owner, len(served), len(w.Services))
		}
		serves := func(node string) bool {
			return !slices.ContainsFunc(served, func(s Service) bool { return !CanServe(s, spec.IPv4, node) })
		}
		if possible := slices.ContainsFunc(w.Nodes, func(n Node) bool { return serves(n.Name) }); owner != "" && possible && !serves(owner) {
			t.Fatalf("%s announces, though another node serves all: %+v", owner, w.Services)
		}
		if owner != "" && !CanServe(slices.MinFunc(served, elder), spec.IPv4, owner) {
			t.Fatalf("%s announces and does not serve the eldest: %+v", owner, w.Services)
		}
	}
}

// TestSharedAddressesOfBothFamilies: each address has a group of its own.
func TestSharedAddressesOfBothFamilies(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::10")
	a, b := sharer("a", 1, "n1", "n2"), sharer("b", 2, "n2")
	a.Held, a.Families = []netip.Addr{vip, six}, []spec.Family{spec.IPv4, spec.IPv6}
	w := world(func(w *World) { w.Services = []Service{a, b} })
	got := owners(t, w)
	if got[vip] != "n2" || got[six] == "" || got[six] == "n3" {
		t.Errorf("announced by %v", got)
	}
}

// TestFamilyWithoutEndpoints: of a dual-stack Service only the address is announced that some pod serves.
func TestFamilyWithoutEndpoints(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::10")
	s := service("web", vip, six)
	s.Endpoints.IPv6 = spec.Backends{}
	w := world(func(w *World) { w.Services = []Service{s} })
	got := owners(t, w)
	if got[vip] == "" || got[six] != "" {
		t.Errorf("announced by %v", got)
	}
	withheld := Make(w, got[vip]).Withheld
	if len(withheld) != 1 || withheld[0].Addr != six || withheld[0].Reason != ReasonNoEndpoints || !strings.Contains(withheld[0].Message, "of IPv6") {
		t.Errorf("withheld %+v", withheld)
	}
}
