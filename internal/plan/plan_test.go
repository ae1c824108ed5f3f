package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

var vip = netip.MustParseAddr("192.0.2.10")

// world is three healthy nodes, one Service with an endpoint on n1 and n2, one advertisement for everything.
func world(edit ...func(*World)) World {
	w := World{
		Config:   &spec.Snapshot{L2Advertisements: []spec.L2Advertisement{{Name: "all"}}},
		Services: []Service{service("web", vip)},
	}
	for i := range 3 {
		w.Nodes = append(w.Nodes, node(fmt.Sprintf("n%d", i+1)))
	}
	for _, e := range edit {
		e(&w)
	}
	return w
}

func service(name string, held ...netip.Addr) Service {
	return Service{
		Service: &spec.Service{
			Key:  types.NamespacedName{Namespace: "default", Name: name},
			Held: held, Pools: []string{"lan"},
		},
		Endpoints: pods("n1", "n2"),
	}
}

// pods are endpoints of both families on these nodes.
func pods(nodes ...string) spec.Endpoints {
	b := spec.Backends{Nodes: nodes}
	return spec.Endpoints{IPv4: b, IPv6: b}
}

func node(name string) Node {
	return Node{
		Node:       spec.Node{Name: name, Ready: true, Labels: labels.Set{"kubernetes.io/hostname": name}},
		Alive:      true,
		Ready:      true,
		Interfaces: []Interface{{Name: "eth0", Up: true, IPv4: true, IPv6: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}},
	}
}

// owners makes every node's plan and returns who announces what; two announcers of one address are an error.
func owners(t *testing.T, w World) map[netip.Addr]string {
	t.Helper()
	got := map[netip.Addr]string{}
	for _, n := range w.Nodes {
		for a, say := range Make(w, n.Name).L2 {
			if say.Role != Answer {
				t.Errorf("%s is to do %+v about %s, though nobody has a claim", n.Name, say, a)
			}
			if other, taken := got[a]; taken {
				t.Errorf("%s is announced by %s and %s", a, other, n.Name)
			}
			got[a] = n.Name
		}
	}
	return got
}

func each(f func(*Node)) func(*World) {
	return func(w *World) {
		for i := range w.Nodes {
			f(&w.Nodes[i])
		}
	}
}

func only(name string, f func(*Node)) func(*World) {
	return each(func(n *Node) {
		if n.Name == name {
			f(n)
		}
	})
}

func on(name string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{"kubernetes.io/hostname": name})
}

func TestWhoAnnounces(t *testing.T) {
	first := owners(t, world())[vip]
	for _, tc := range []struct {
		name   string
		edit   func(*World)
		want   string // the owner, "" for nobody, "any"
		reason spec.Reason
		words  string
	}{
		{"three healthy nodes", func(*World) {}, "any", "", ""},
		{"the owner's speaker is gone", only(first, func(n *Node) { n.Alive = false }), "another", "", ""},
		{"the owner's speaker is starting", only(first, func(n *Node) { n.Ready = false }), "another", "", ""},
		{"the owner's Node is not Ready", only(first, func(n *Node) { n.Node.Ready = false }), "another", "", ""},
		{"the owner is excluded", only(first, func(n *Node) { n.Excluded = true }), "another", "", ""},
		{"the owner is draining", only(first, func(n *Node) { n.Draining = true }), "another", "", ""},
		{"the owner's link is down", only(first, func(n *Node) { n.Interfaces[0].Up = false }), "another", "", ""},
		{"the owner has no IPv4 address", only(first, func(n *Node) { n.Interfaces[0].IPv4 = false }), "another", "", ""},
		{"the owner's subnet is another", only(first, func(n *Node) {
			n.Interfaces[0].Prefixes = []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}
		}), "another", "", ""},
		{"nobody has the subnet", each(func(n *Node) { n.Interfaces[0].Prefixes = nil }), "any", "", ""},
		{"only n3 is selected", func(w *World) { w.Config.L2Advertisements[0].Nodes = []labels.Selector{on("n3")} }, "n3", "", ""},
		{"two advertisements join their nodes", func(w *World) {
			w.Config.L2Advertisements = []spec.L2Advertisement{{Nodes: []labels.Selector{on("n8")}}, {Nodes: []labels.Selector{on("n2")}}}
		}, "n2", "", ""},
		{"interfaces hold where the advertisement selects", func(w *World) {
			w.Config.L2Advertisements = []spec.L2Advertisement{
				{Nodes: []labels.Selector{on("n1")}, Interfaces: []string{"eth7"}},
				{Nodes: []labels.Selector{on("n2")}, Interfaces: []string{"eth0"}},
			}
		}, "n2", "", ""},
		{"Local, pods on n2 only", func(w *World) {
			w.Services[0].Local = true
			w.Services[0].Endpoints = pods("n2")
		}, "n2", "", ""},
		{"Local, an endpoint without a node", func(w *World) {
			w.Services[0].Local = true
			w.Services[0].Endpoints = spec.Endpoints{IPv4: spec.Backends{Anywhere: true}}
		}, "any", "", ""},
		{"Cluster, a pod somewhere", func(w *World) { w.Services[0].Endpoints = pods("n9") }, "any", "", ""},

		{"no pods", func(w *World) { w.Services[0].Endpoints = spec.Endpoints{} }, "", ReasonNoEndpoints, "no ready endpoint of IPv4"},
		{"pods of the other family only", func(w *World) { w.Services[0].Endpoints.IPv4 = spec.Backends{} }, "", ReasonNoEndpoints, "no ready endpoint of IPv4"},
		{"Local, pods of the other family on n1, of this one on n2", func(w *World) {
			w.Services[0].Local = true
			w.Services[0].Endpoints = spec.Endpoints{IPv4: pods("n2").IPv4, IPv6: pods("n1").IPv6}
		}, "n2", "", ""},
		{"no advertisement", func(w *World) { w.Config.L2Advertisements = nil }, "", ReasonNoAdvertisement, `"lan"`},
		{"another pool is advertised", func(w *World) { w.Config.L2Advertisements[0].Pools = []string{"dmz"} }, "", ReasonNoAdvertisement, `"lan"`},
		{"another proxy", func(w *World) { w.Services[0].ProxyName = "ipvs-thing" }, "", ReasonServiceProxy, "ipvs-thing"},
		{"Local, pods on a foreign node", func(w *World) {
			w.Services[0].Local = true
			w.Services[0].Endpoints = pods("n9")
		}, "", ReasonNoNode, "3 NoLocalEndpoint"},
		{"no such interface", func(w *World) { w.Config.L2Advertisements[0].Interfaces = []string{"eth7"} }, "", ReasonNoNode, "3 NoInterface"},
		{"only IPv6 on the interfaces", each(func(n *Node) { n.Interfaces[0].IPv4 = false }), "", ReasonNoNode, "3 NoInterface"},
		{"no such node", func(w *World) { w.Config.L2Advertisements[0].Nodes = []labels.Selector{on("n9")} }, "", ReasonNoNode, "3 NodeNotSelected"},
		{"no nodes", func(w *World) { w.Nodes = nil }, "", ReasonNoNode, "there are no nodes"},
		{"all ill, each in its way", func(w *World) {
			w.Nodes[0].Alive, w.Nodes[1].Draining, w.Nodes[2].Alive = false, true, false
		}, "", ReasonNoNode, "2 NoSpeaker, 1 NodeDraining"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := world(tc.edit)
			got := owners(t, w)[vip]
			switch {
			case tc.want == "any" && got == "", tc.want == "another" && (got == first || got == ""), !slices.Contains([]string{"any", "another", got}, tc.want):
				t.Fatalf("announced by %q, want %q", got, tc.want)
			}
			if tc.want != "" {
				return
			}
			want := []Withheld{{Service: w.Services[0].Key, Addr: vip, Reason: tc.reason}}
			withheld := Make(w, "n1").Withheld
			if len(withheld) == 1 && strings.Contains(withheld[0].Message, tc.words) {
				withheld[0].Message = ""
			}
			if d := cmp.Diff(want, withheld, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Errorf("withheld (-want +got; the message must contain %q):\n%s", tc.words, d)
			}
		})
	}
}

func TestTheOthersSayWhoAnnounces(t *testing.T) {
	w := world()
	owner := owners(t, w)[vip]
	for _, n := range w.Nodes {
		p := Make(w, n.Name)
		if n.Name == owner {
			if len(p.Withheld) != 0 || !slices.Equal(p.L2[vip].Interfaces, []string{"eth0"}) {
				t.Errorf("the owner's plan is %+v", p)
			}
			continue
		}
		if len(p.Withheld) != 1 || p.Withheld[0].Reason != ReasonOtherNode || p.Withheld[0].Owner != owner {
			t.Errorf("%s withholds %+v, want: announced by %s", n.Name, p.Withheld, owner)
		}
	}
}

func TestInterfacesOfTheOwner(t *testing.T) {
	w := world(each(func(n *Node) {
		n.Interfaces = append(n.Interfaces, Interface{Name: "eth1", Up: true, IPv4: true}, Interface{Name: "br0", Up: true, IPv4: true},
			Interface{Name: "eth2", IPv4: true}, Interface{Name: "six", Up: true, IPv6: true})
	}))
	p := Make(w, owners(t, w)[vip])
	if d := cmp.Diff([]string{"br0", "eth0", "eth1"}, p.L2[vip].Interfaces); d != "" {
		t.Errorf("all that are up, sorted (-want +got):\n%s", d)
	}
	w.Config.L2Advertisements[0].Interfaces = []string{"eth1", "eth2"}
	p = Make(w, owners(t, w)[vip])
	if d := cmp.Diff([]string{"eth1"}, p.L2[vip].Interfaces); d != "" {
		t.Errorf("those named that are up (-want +got):\n%s", d)
	}
}

func TestLinkLocalAndHostPrefixesAreNoSubnets(t *testing.T) {
	for _, tc := range []struct {
		addr, prefix string
		want         bool
	}{
		{"192.0.2.10", "192.0.2.1/24", true},
		{"192.0.2.10", "192.0.2.10/32", false},
		{"192.0.2.10", "198.51.100.1/24", false},
		{"2001:db8::10", "2001:db8::1/64", true},
		{"fe80::10", "fe80::1/64", false},
		{"192.0.2.10", "::/0", false},
	} {
		a := netip.MustParseAddr(tc.addr)
		n := node("n1")
		n.Interfaces[0].Prefixes = []netip.Prefix{netip.MustParsePrefix(tc.prefix)}
		f := newField(fieldKey{family: spec.FamilyOf(a)}, []spec.L2Advertisement{{}}, []Node{n})
		if got := len(f.containing(a)) > 0; got != tc.want {
			t.Errorf("%s in %s: %t, want %t", tc.addr, tc.prefix, got, tc.want)
		}
	}
}

// Invariant 3 over random worlds: the plans of all nodes together announce each address at most once, and exactly once
// when some node is healthy, selected and can serve.
func TestOneAnnouncer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	flip := func(p float64) bool { return rnd.Float64() < p }
	for range 2000 {
		w := world(each(func(n *Node) {
			n.Alive, n.Ready, n.Node.Ready = flip(.9), flip(.9), flip(.9)
			n.Excluded, n.Draining, n.Interfaces[0].Up = flip(.1), flip(.1), flip(.9)
		}))
		w.Services = nil
		for i := range 20 {
			s := service(fmt.Sprintf("s%02d", i), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			s.Local = flip(.5)
			var nodes []string
			for _, n := range w.Nodes {
				if flip(.5) {
					nodes = append(nodes, n.Name)
				}
			}
			s.Endpoints = pods(nodes...)
			w.Services = append(w.Services, s)
		}
		got := owners(t, w)
		for _, s := range w.Services {
			want := slices.ContainsFunc(w.Nodes, func(n Node) bool {
				return n.Alive && n.Ready && n.Node.Ready && !n.Excluded && !n.Draining && n.Interfaces[0].Up &&
					(s.Local && slices.Contains(s.Endpoints.IPv4.Nodes, n.Name) || !s.Local && len(s.Endpoints.IPv4.Nodes) > 0)
			})
			if _, announced := got[s.Held[0]]; announced != want {
				t.Fatalf("%s announced: %t, want %t in %+v", s.Key, announced, want, w)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func BenchmarkMake(b *testing.B) {
	for _, size := range []struct{ services, nodes int }{{100, 3}, {1000, 10}, {10000, 100}} {
		b.Run(fmt.Sprintf("services=%d/nodes=%d", size.services, size.nodes), func(b *testing.B) {
			w := world()
			w.Nodes, w.Services = nil, nil
			for i := range size.nodes {
				w.Nodes = append(w.Nodes, node(fmt.Sprintf("n%d", i)))
			}
			for i := range size.services {
				w.Services = append(w.Services, service(fmt.Sprintf("s%d", i), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})))
			}
			for b.Loop() {
				Make(w, "n0")
			}
		})
	}
}
