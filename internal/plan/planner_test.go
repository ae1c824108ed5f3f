package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// random is a World of a few nodes and Services about which anything may be said.
func random(rnd *rand.Rand) World {
	flip := func(p float64) bool { return rnd.Float64() < p }
	w := world(each(func(n *Node) {
		n.Alive, n.Ready, n.Node.Ready, n.Steady = flip(.9), flip(.9), flip(.9), flip(.5)
		n.Excluded, n.Draining, n.Interfaces[0].Up, n.Away, n.Silent = flip(.1), flip(.1), flip(.9), flip(.2), flip(.1)
	}))
	w.Services = nil
	for i := range 1 + rnd.IntN(20) {
		w.Services = append(w.Services, randomService(rnd, fmt.Sprintf("s%02d", i), i))
	}
	for i := range w.Nodes {
		w.Nodes[i].Claims = randomClaims(rnd)
	}
	return w
}

func randomClaims(rnd *rand.Rand) (claims []Claim) {
	for a := range 20 {
		if rnd.IntN(3) > 0 {
			continue
		}
		c := Claim{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(a)}), Epoch: 1 + rnd.Uint64N(3), Fresh: rnd.IntN(5) == 0}
		if rnd.IntN(5) == 0 {
			c.From = fmt.Sprintf("n%d", 1+rnd.IntN(3))
		}
		claims = append(claims, c)
	}
	return claims
}

func randomService(rnd *rand.Rand, name string, i int) Service {
	s := service(name, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	if rnd.IntN(4) == 0 { // shared
		s.Held = append(s.Held, netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(20))}))
		s.Held = slices.Compact(s.Held)
	}
	var nodes []string
	for n := range 3 {
		if rnd.IntN(2) == 0 {
			nodes = append(nodes, fmt.Sprintf("n%d", n+1))
		}
	}
	s.Local, s.Endpoints = rnd.IntN(2) == 0, pods(nodes...)
	return s
}

// TestPlannerTwin: a Planner that looks again at what has changed comes to what Make and MakeBGP find out anew.
func TestPlannerTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	const me = "n1"
	objects := config()
	routers := routing(t, objects).Config.BGP
	same := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(Plan{}, "Withheld"), cmp.AllowUnexported(spec.Session{})); diff != "" {
			t.Fatalf("%s: %s", what, diff)
		}
	}
	updated, routes := 0, 0
	for range 500 {
		w := random(rnd)
		w.Config.BGP = routers
		p := NewPlanner(me)
		got := p.Whole(copied(w))
		for step := range 6 {
			same(fmt.Sprint("step ", step), Make(copied(w), me), got)
			told := map[netip.Prefix]bool{netip.PrefixFrom(w.Services[0].Held[0], 32): true}
			w.BGP, w.Nodes[0].BGP = OwnBGP{Told: told}, BGPFacts{Established: []string{"ext"}}
			withBGP := p.BGP(w.BGP, w.Nodes[0].BGP)
			same(fmt.Sprint("BGP, step ", step), MakeBGP(w, me), withBGP)
			routes += len(withBGP.Peers["ext"].Routes)
			same(fmt.Sprint("digest, step ", step), Digest(*objects, w, w.Nodes[0].Node), p.Digest(*objects, w.Nodes[0].Node))
			w.Nodes[0].Facts = got.Facts
			var c Change
			for i := range w.Services {
				if rnd.IntN(4) == 0 {
					w.Services[i] = randomService(rnd, w.Services[i].Key.Name, i)
					c.Services = append(c.Services, w.Services[i])
				}
			}
			if i := rnd.IntN(len(w.Services)); len(w.Services) > 1 && rnd.IntN(3) == 0 {
				key := w.Services[i].Key
				w.Services, c.Gone = slices.Delete(w.Services, i, i+1), []types.NamespacedName{key}
				c.Services = slices.DeleteFunc(c.Services, func(s Service) bool { return s.Key == key })
			}
			if name := fmt.Sprintf("r%02d", rnd.IntN(20)); rnd.IntN(3) == 0 {
				s := randomService(rnd, name, rnd.IntN(20))
				if !slices.Contains(c.Gone, s.Key) && !slices.ContainsFunc(w.Services, func(o Service) bool { return o.Key == s.Key }) {
					w.Services, c.Services = append(w.Services, s), append(c.Services, s)
				}
				slices.SortFunc(w.Services, func(a, b Service) int { return compareKeys(a.Key, b.Key) })
			}
			var ok bool
			for i := range w.Nodes {
				if i > 0 && rnd.IntN(6) == 0 {
					w.Nodes[i].Claims = randomClaims(rnd)
				}
			}
			if got, ok = p.Update(w.Own, slices.Clone(w.Nodes), c); ok {
				updated++
				continue
			}
			all := copied(w)
			if all.Services = nil; rnd.IntN(2) == 0 {
				got = p.Renew(all, c)
			} else {
				got = p.Whole(copied(w))
			}
		}
	}
	if updated < 500 || routes < 5000 {
		t.Errorf("%d updates and %d routes in 3000 steps: they were hardly tried", updated, routes)
	}
}

// copied is a World of its own, as far as a Planner changes it.
func copied(w World) World {
	w.Nodes, w.Services = slices.Clone(w.Nodes), slices.Clone(w.Services)
	return w
}

func TestPlannerNeedsTheWhole(t *testing.T) {
	p := NewPlanner("n1")
	w := world()
	if _, ok := p.Update(Own{}, w.Nodes, Change{}); ok {
		t.Error("plans without a World")
	}
	p.Whole(w)
	for name, change := range map[string]func(*Node){
		"a cession":              func(n *Node) { n.Ceded = []Cession{{Addr: vip, To: "n2"}} },
		"what is remembered":     func(n *Node) { n.Absent = map[string][]Claim{"n3": {{Addr: vip, Epoch: 1}}} },
		"a node that has died":   func(n *Node) { n.Alive = false },
		"an interface":           func(n *Node) { n.Interfaces = []Interface{{Name: "eth1"}} },
		"a label":                func(n *Node) { n.Labels = map[string]string{"zone": "b"} },
		"an address heard of it": func(n *Node) { n.Heard = map[netip.Addr]string{vip: "n3"} },
	} {
		if _, ok := p.Update(Own{}, world(only("n2", change)).Nodes, Change{}); ok {
			t.Errorf("passes over %s", name)
		}
	}
	if _, ok := p.Update(Own{}, w.Nodes[1:], Change{}); ok {
		t.Error("passes over a Node that has gone")
	}
	if _, ok := p.Update(Own{}, world(claimed("n2", 1, "")).Nodes, Change{Services: []Service{service("web", vip)}}); !ok {
		t.Error("asks for everything because of a claim and a Service")
	}
}

// BenchmarkPlanner is one Service whose pods have moved, among many that are held.
func BenchmarkPlanner(b *testing.B) {
	for _, size := range []struct{ services, nodes int }{{10000, 100}, {10000, 1000}} {
		w := world()
		w.Nodes, w.Services = nil, nil
		for i := range size.nodes {
			w.Nodes = append(w.Nodes, node(fmt.Sprintf("n%04d", i)))
		}
		for i := range size.services {
			s := service(fmt.Sprintf("s%05d", i), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
			s.Endpoints = pods("n0000", "n0001")
			w.Services = append(w.Services, s)
			n := &w.Nodes[i%size.nodes]
			n.Claims = append(n.Claims, Claim{Addr: s.Held[0], Epoch: 1})
		}
		name := fmt.Sprintf("services=%d/nodes=%d", size.services, size.nodes)
		b.Run("whole/"+name, func(b *testing.B) {
			for b.Loop() {
				NewPlanner("n0000").Whole(w)
			}
		})
		b.Run("update/"+name, func(b *testing.B) {
			p := NewPlanner("n0000")
			said := p.Whole(w).Facts
			nodes := slices.Clone(w.Nodes)
			nodes[0].Facts = said
			both := []spec.Endpoints{pods("n0000"), pods("n0000", "n0001")}
			for i := 0; b.Loop(); i++ {
				s := w.Services[7]
				s.Endpoints = both[i%2]
				if _, ok := p.Update(Own{}, nodes, Change{Services: []Service{s}}); !ok {
					b.Fatal("the whole was needed")
				}
			}
		})
	}
}
