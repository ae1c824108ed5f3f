package speaker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// BenchmarkBGPPass is what a pass and a turn add for BGP when one of a thousand Services changes: plan, wish, orders. Engines are
// not among it.
func BenchmarkBGPPass(b *testing.B) {
	for _, services := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			w := plan.World{Config: bgpConfig(b)}
			for i := range 3 {
				n := plan.Node{Node: spec.Node{Name: fmt.Sprintf("n%d", i+1), Ready: true, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}}}
				n.Alive, n.Ready = true, true
				w.Nodes = append(w.Nodes, n)
			}
			for i := range services {
				a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
				w.Services = append(w.Services, plan.Service{
					Service:   &spec.Service{Held: []netip.Addr{a}, Pools: []string{"lan"}},
					Endpoints: spec.Endpoints{IPv4: spec.Backends{Nodes: []string{"n1"}}},
				})
			}
			routers := &fakeRouters{}
			p := &passer{o: Options{Node: "n1", Namespace: ns}, routing: routers, changed: newSignal(), planner: plan.NewPlanner("n1")}
			p.planner.Whole(w)
			r := newRouting("n1", logr.Discard(), &fakeBGP{}, &fakeBFD{}, &fakeRules{},
				newBGPDesk(500*time.Millisecond, 2*time.Second, fakeKernel{}), func() {}, func() bool { return false })
			r.want(&bgpWish{})
			for b.Loop() {
				p.planBGP(b.Context())
				r.want(routers.last.Load())
				r.turn(b.Context())
				routers.says.Store(r.report())
				s := w.Services[0]
				s.Held = []netip.Addr{netip.AddrFrom4([4]byte{10, 2, byte(time.Now().Nanosecond()), 1})}
				p.planner.Update(plan.Own{}, w.Nodes, plan.Change{Services: []plan.Service{s}})
			}
			if n := len(r.report().announced); n != services {
				b.Errorf("%d prefixes", n)
			}
		})
	}
}
