package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
		for a := range 20 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(a)})
			if !flip(.3) {
				continue
			}
			c := Claim{Addr: addr, Epoch: 1 + rnd.Uint64N(3)}
			if flip(.2) {
				c.From = w.Nodes[rnd.IntN(3)].Name
			}
			w.Nodes[i].Claims = append(w.Nodes[i].Claims, c)
		}
	}
	return w
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

// TestPlannerTwin: a Planner that looks again at what has changed comes to what Make finds out anew.
func TestPlannerTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		w := random(rnd)
		const me = "n1"
		p := NewPlanner(me)
		got := p.Whole(copied(w))
		for step := range 6 {
			if diff := cmp.Diff(Make(copied(w), me), got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("step %d: %s", step, diff)
			}
			w.Nodes[0].Facts = got.Facts
			var changed []Service
			for i := range w.Services {
				if rnd.IntN(4) == 0 {
					w.Services[i] = randomService(rnd, w.Services[i].Key.Name, i)
					changed = append(changed, w.Services[i])
				}
			}
			var ok bool
			if got, ok = p.Update(w.Own, got.Facts, changed); !ok {
				got = p.Whole(copied(w))
			} else {
				got.Successors = Make(copied(w), me).Successors
			}
		}
	}
}

// copied is a World of its own, as far as a Planner changes it.
func copied(w World) World {
	w.Nodes, w.Services = slices.Clone(w.Nodes), slices.Clone(w.Services)
	return w
}

func TestPlannerNeedsTheWhole(t *testing.T) {
	p := NewPlanner("n1")
	if _, ok := p.Update(Own{}, Facts{}, nil); ok {
		t.Error("plans without a World")
	}
	w := world()
	said := p.Whole(w).Facts
	if _, ok := p.Update(Own{}, said, []Service{service("new", vip)}); ok {
		t.Error("takes a Service that it does not know")
	}
	if _, ok := p.Update(Own{}, Facts{Ceded: []Cession{{Addr: vip, To: "n2"}}}, nil); ok {
		t.Error("passes over a cession")
	}
	if _, ok := p.Update(Own{}, said, []Service{service("web", vip)}); !ok {
		t.Error("asks for everything because of a Service that it knows")
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
			both := []spec.Endpoints{pods("n0000"), pods("n0000", "n0001")}
			for i := 0; b.Loop(); i++ {
				s := w.Services[7]
				s.Endpoints = both[i%2]
				if _, ok := p.Update(Own{}, said, []Service{s}); !ok {
					b.Fatal("the whole was needed")
				}
			}
		})
	}
}
