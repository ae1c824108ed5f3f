package upgrade

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

const (
	onLAN  = 3 // Services with addresses at layer 2
	others = 1 // Services that the router is told of
	holds  = 2 // connections held to each address
)

// flow is where the traffic goes: two addresses for each Service, one of either family.
type flow struct {
	lan, routed []netip.Addr
	services    map[string]string // with their addresses
}

// start makes Services, and waits until each can be reached.
func start(s *harness.Scene) *flow {
	s.Helper()
	s.Apply(harness.PoolManifest(s.Lab, "lan", 200, 239))
	s.Apply(harness.Web("web", 3))
	s.Must(harness.AwaitDeployment(s.Ctx, s.Lab, "default", "web"))
	route(s)
	f := &flow{services: map[string]string{}}
	for i := range onLAN {
		f.lan = append(f.lan, f.serve(s, fmt.Sprintf("lan%d", i), "")...)
	}
	for i := range others {
		f.routed = append(f.routed, f.serve(s, fmt.Sprintf("routed%d", i), "annotations: {belfry.dev/pool: routed}")...)
	}
	for _, a := range f.routed {
		throughAll(s, a)
	}
	nodes := map[int]bool{}
	for _, a := range f.lan {
		nodes[s.OwnerAnswers(s.Lab.Client(1), a)] = true
	}
	if len(nodes) < len(s.Lab.Nodes()) {
		s.Fatalf("of the addresses on the LAN some nodes have none, only %v have", slices.Sorted(maps.Keys(nodes)))
	}
	for _, a := range f.all() {
		s.Answer(s.Lab.Client(1), a, 80)
	}
	return f
}

// serve makes a Service and returns its addresses when all nodes know what is behind them.
func (f *flow) serve(s *harness.Scene, name, metadata string) []netip.Addr {
	s.Helper()
	manifest := harness.Service(name, "web", "ipFamilyPolicy: RequireDualStack", 80, 7000)
	s.Apply(strings.Replace(manifest, "metadata:\n", "metadata:\n  "+metadata+"\n", 1))
	addrs := s.Addresses(name, 2)
	s.AwaitRules(name)
	f.services[name] = addrs[0].String() + " " + addrs[1].String()
	return addrs
}

func (f *flow) all() []netip.Addr { return slices.Concat(f.lan, f.routed) }

// during makes a leg and judges what was seen of it.
func (f *flow) during(s *harness.Scene, l leg) {
	s.Helper()
	established(s)
	owners := f.owners(s)
	w := f.watch(s)
	s.Must(l.do(s.Ctx))
	took := time.Since(w.began)
	established(s)
	for _, a := range f.routed {
		throughAll(s, a)
	}
	w.more(s)
	moved := f.stayed(s, w, owners, l.window)
	w.toll(s, moved, took)
	f.kept(s, w)
}

// owners are the nodes that announce the addresses on the LAN.
func (f *flow) owners(s *harness.Scene) map[netip.Addr]int {
	s.Helper()
	owners := map[netip.Addr]int{}
	for _, a := range f.lan {
		owners[a] = s.Owner(a)
	}
	return owners
}

// stayed checks that the LAN was told of one node for each address, whoever told it. Those are returned that have moved because
// their node's speaker was away for longer than the window.
func (f *flow) stayed(s *harness.Scene, w *watch, owners map[netip.Addr]int, window time.Duration) (moved map[netip.Addr]bool) {
	s.Helper()
	moved = map[netip.Addr]bool{}
	for _, a := range f.lan {
		sights, err := w.asker.Sights(a, w.began)
		s.Must(err)
		mac := s.MAC(owners[a])
		away, left := absence(sights, mac)
		s.Logf("%s: the speaker of n%d was away for %d ms; nobody answered for %d ms at most",
			a, owners[a], away.Milliseconds(), harness.Silent(sights, w.began).Milliseconds())
		switch moved[a] = left && away > window-time.Second; { // they say when it is time, the witness hears of it
		case moved[a]:
			s.Logf("%s has moved meanwhile, as it should", a)
		case left:
			s.Errorf("%s has left n%d, %s:\n%s", a, owners[a], mac, harness.Story(sights, w.began))
		default:
			s.OneAnswers(s.Lab.Client(2), a, owners[a])
		}
	}
	return moved
}

// kept checks that every Service had its addresses all the time, and that the router's kernel has done nothing about any.
func (f *flow) kept(s *harness.Scene, w *watch) {
	s.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(w.statuses.Stop()) {
		line, whole := strings.CutSuffix(line, "\n")
		name, addrs, _ := strings.Cut(line, " ")
		want, ours := f.services[name]
		if ours && whole && addrs != want {
			s.Errorf("%s had %s and was seen with %q", name, want, addrs)
		}
		seen[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		if !seen[name] {
			s.Errorf("nothing was seen of %s", name)
		}
	}
	changes := w.routes.Stop()
	for _, a := range f.routed {
		if lines := touched(changes, a); len(lines) > 0 {
			s.Errorf("the router has touched the route to %s:\n%s", a, strings.Join(lines, "\n"))
		}
	}
}
