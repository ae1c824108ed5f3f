package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
	"github.com/belfry-lb/belfry/e2e/router"
)

// TestBGP has two routers before the three nodes, and clients that reach Services through them alone: the addresses are
// in no network of the LAN's.
func TestBGP(t *testing.T) {
	b := newBGPScene(t)
	b.Run("paths of all nodes", func(t *testing.T) { testPaths(b.on(t)) })
	b.Run("plugin", func(t *testing.T) { testPluginSees(b.on(t)) })
	b.Run("drain", func(t *testing.T) { testDrainedNode(b.on(t)) })
	b.Run("killed speaker", func(t *testing.T) { testGracefulRestart(b.on(t)) })
	b.Run("local endpoints", func(t *testing.T) { testLocalEndpoints(b.on(t)) })
	b.Run("client affinity", func(t *testing.T) { testClientAffinity(b.on(t)) })
	b.Run("router's cable", func(t *testing.T) { testRouterGone(b.on(t)) })
	b.Run("power cut", func(t *testing.T) { testPathCut(b.on(t)) })
}

// bgpScene is a scene with routers.
type bgpScene struct {
	*scene
	frr []*router.FRR
}

const bgpPools = `apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: routed}
spec:
  addresses: [203.0.113.0/28, "2001:db8:71::/120"]
  autoAssign: false
---
apiVersion: belfry.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: routed}
spec:
  ipAddressPools: [routed]
  weightByEndpoints: true
---
apiVersion: belfry.dev/v1beta1
kind: BFDProfile
metadata: {name: fast}
spec: {receiveInterval: 100, transmitInterval: 100}
`

func newBGPScene(t *testing.T) *bgpScene {
	b := &bgpScene{scene: newScene(t)}
	b.Apply(bgpPools)
	for i, r := range lab.Routers() {
		frr, err := r.FRR(b.Ctx, frrConfig(i+1))
		b.Must(err)
		t.Cleanup(frr.Kill)
		b.frr = append(b.frr, frr)
		b.Apply(fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: %s}
spec:
  myASN: 64512
  peerASN: %d
  peerAddress: %s
  holdTime: 9s
  connectTime: 1s
  dualStackAddressFamily: true
  enableGracefulRestart: true
  bfdProfile: fast
`, r.Name(), 64600+i+1, r.V4()))
	}
	for _, c := range lab.Clients() {
		b.viaRouters(c)
	}
	return b
}

// on returns the scene for a part of the test, with patience of its own.
func (b *bgpScene) on(t *testing.T) *bgpScene {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(t.Context()), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	return &bgpScene{&scene{&harness.Scene{T: t, Stage: stage, Ctx: ctx}}, b.frr}
}

func frrConfig(i int) string {
	var c strings.Builder
	fmt.Fprintf(&c, "router bgp %d\n bgp router-id 10.255.0.%d\n no bgp ebgp-requires-policy\n bgp log-neighbor-changes\n no bgp default ipv4-unicast\n", 64600+i, i)
	fmt.Fprintf(&c, " bgp bestpath as-path multipath-relax\n bgp graceful-restart\n bgp graceful-restart stalepath-time 60\n")
	for _, n := range lab.Nodes() {
		fmt.Fprintf(&c, " neighbor %[1]s remote-as 64512\n neighbor %[1]s timers connect 1\n neighbor %[1]s bfd\n", n.V4())
		if i == 1 { // the other drops the paths of a speaker that is killed: its BFD ends, too
			fmt.Fprintf(&c, " neighbor %s bfd check-control-plane-failure\n", n.V4())
		}
	}
	for _, f := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&c, " address-family %s unicast\n  maximum-paths 8\n", f)
		for _, n := range lab.Nodes() {
			fmt.Fprintf(&c, "  neighbor %s activate\n", n.V4())
		}
		c.WriteString(" exit-address-family\n")
	}
	return c.String()
}

// viaRouters gives a client routes to the pool through both routers, connection by connection.
func (b *bgpScene) viaRouters(c *cluster.Host) {
	b.Helper()
	r1, r2 := lab.Router(1), lab.Router(2)
	for _, args := range [][]string{
		{"sysctl", "-q", "-w", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1"},
		{"ip", "route", "replace", "203.0.113.0/28", "nexthop", "via", r1.V4().String(), "nexthop", "via", r2.V4().String()},
		{"ip", "-6", "route", "replace", "2001:db8:71::/120", "nexthop", "via", r1.V6().String(), "nexthop", "via", r2.V6().String()},
	} {
		_, err := c.Exec(b.Ctx, args...)
		b.Must(err)
	}
	b.Cleanup(func() {
		for _, args := range [][]string{{"ip", "route", "del", "203.0.113.0/28"}, {"ip", "-6", "route", "del", "2001:db8:71::/120"}} {
			if _, err := c.Exec(context.Background(), args...); err != nil {
				b.Error(err)
			}
		}
	})
}

// routed applies a Service with addresses of the routed pool.
func (b *bgpScene) routed(n int, name, app, extra string) []netip.Addr {
	b.Helper()
	manifest := harness.Service(name, app, extra, 80)
	manifest = strings.Replace(manifest, "metadata:\n", "metadata:\n  annotations: {belfry.dev/pool: routed}\n", 1)
	var addrs []netip.Addr
	b.Cleanup(func() { // the next Service gets the same addresses
		after := b.on(b.T)
		for _, a := range addrs {
			after.through(a)
		}
	})
	b.Apply(manifest)
	addrs = b.Addresses(name, n)
	return addrs
}

// paths are the next hops of an address in a router's kernel, with their weights.
func (b *bgpScene) paths(r *cluster.Router, a netip.Addr) (map[string]int, error) {
	family := "-4"
	if a.Is6() {
		family = "-6"
	}
	out, err := r.Exec(b.Ctx, "ip", family, "-j", "route", "show", netip.PrefixFrom(a, a.BitLen()).String())
	if err != nil {
		return nil, err
	}
	var routes []struct {
		Gateway  string
		Nexthops []struct {
			Gateway string
			Weight  int
		}
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("reading %q: %w", out, err)
	}
	paths := map[string]int{}
	for _, r := range routes {
		if r.Gateway != "" {
			paths[r.Gateway] = 1
		}
		for _, h := range r.Nexthops {
			paths[h.Gateway] = h.Weight
		}
	}
	return paths, nil
}

// through waits until both routers' kernels have paths to the address over exactly these nodes.
func (b *bgpScene) through(a netip.Addr, nodes ...int) {
	b.Helper()
	var want []string
	for _, n := range nodes {
		if a.Is6() {
			want = append(want, lab.Node(n).V6().String())
		} else {
			want = append(want, lab.Node(n).V4().String())
		}
	}
	for _, r := range lab.Routers() {
		b.Eventually(fmt.Sprintf("paths of %s to %s over nodes %v", r.Name(), a, nodes), func() error {
			paths, err := b.paths(r, a)
			got := slices.Sorted(maps.Keys(paths))
			if err == nil && !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				err = fmt.Errorf("they are %v", got)
			}
			return err
		})
	}
}

// session waits until a node says so of its session with a router.
func (b *bgpScene) session(node int, peer string, ok func(v1beta1.SpeakerPeer) bool) {
	b.Helper()
	name := lab.Node(node).Name()
	b.Eventually(fmt.Sprintf("the session of %s with %s", name, peer), func() error {
		var o v1beta1.SpeakerStatus
		if err := k8s.Get(b.Ctx, client.ObjectKey{Name: name}, &o); err != nil {
			return err
		}
		i := slices.IndexFunc(o.Status.BGP.Peers, func(p v1beta1.SpeakerPeer) bool { return p.Name == peer })
		if i < 0 || !ok(o.Status.BGP.Peers[i]) {
			return fmt.Errorf("it is %+v", o.Status.BGP.Peers)
		}
		return nil
	})
}

func (b *bgpScene) established() {
	b.Helper()
	for n := range lab.Nodes() {
		for _, r := range lab.Routers() {
			b.session(n+1, r.Name(), func(p v1beta1.SpeakerPeer) bool {
				return p.State == v1beta1.SessionEstablished && p.BFD != nil && p.BFD.State == "Up" && len(p.GracefulRestart) == 2
			})
		}
	}
}

func testPaths(b *bgpScene) {
	addrs := b.routed(2, "routed", "web", dualStack)
	b.established()
	for _, a := range addrs {
		b.through(a, 1, 2, 3)
		b.answer(a, 80)
	}
	for _, r := range lab.Routers() { // as the pages on BGP and BFD tell people to
		for _, condition := range []string{v1beta1.ConditionEstablished, v1beta1.ConditionWatched} {
			b.Kubectl("wait", "--for=condition="+condition, "bgppeer/"+r.Name(), "--timeout=60s")
		}
	}
	seen := map[string]bool{}
	b.Eventually("answers from pods on all nodes", func() error {
		answer, err := b.get(lab.Client(1), addrs[0], 80)
		if seen[harness.Field(answer, "node")] = err == nil; len(seen) < len(lab.Nodes()) {
			err = errors.Join(err, fmt.Errorf("from %v", seen))
		}
		return err
	})
	b.Kubectl("delete", "service", "routed")
	for _, a := range addrs {
		b.through(a)
	}
}

// kubelet is the port of every node's kubelet: a connection to it has nothing to do with routes.
const kubelet = 10250

// testDrainedNode: routers are asked to prefer the other nodes before the routes go, so that no connection fails.
func testDrainedNode(b *bgpScene) {
	a := b.routed(1, "drained", "web", "")[0]
	b.through(a, 1, 2, 3)
	b.answer(a, 80)
	probe := harness.StartPatientProbe(b.Ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
	defer probe.Stop()
	control := harness.StartPatientProbe(b.Ctx, lab.Client(1), netip.AddrPortFrom(lab.Node(2).V4(), kubelet))
	defer control.Stop()
	b.Must(probe.AwaitSuccesses(b.Ctx, 50))
	b.Must(control.AwaitSuccesses(b.Ctx, 50))
	began := time.Now()
	b.drain("n1")
	b.Eventually("the request to prefer other nodes", func() error {
		out, err := b.frr[0].Show(b.Ctx, "show bgp ipv4 unicast "+a.String())
		if err == nil && !strings.Contains(out, "graceful-shutdown") {
			err = errors.New(out)
		}
		return err
	})
	b.through(a, 2, 3)
	b.session(1, "r1", func(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionIdle && p.Reason == "NodeDraining" })
	b.Eventually("the last word of n1", func() error {
		text, err := b.frr[0].Log()
		var words []string
		for line := range strings.Lines(text) {
			if strings.Contains(line, "NOTIFICATION") {
				words = append(words, line)
			}
		}
		if err == nil && !strings.Contains(strings.Join(words, ""), "node n1 hands its traffic over") {
			err = fmt.Errorf("the router has logged %q", words)
		}
		return err
	})
	if ok, failed := probe.Counts(); failed > 0 {
		b.Errorf("%d connections failed, %d succeeded: %s", failed, ok, strings.Join(probe.Failures(began), "\n"))
	}
	if lost := probe.Repeated(began, control); len(lost) > 0 {
		b.Errorf("the first packet of %d connections was lost, which costs each a second: %s", len(lost), strings.Join(lost, ", "))
	}
	b.Kubectl("annotate", "node", "n1", "belfry.dev/drain-")
	b.through(a, 1, 2, 3)
}

// testGracefulRestart kills a speaker: the kernel of the router that keeps the routes sees nothing of it.
func testGracefulRestart(b *bgpScene) {
	a := b.routed(1, "restart", "web", "")[0]
	b.through(a, 1, 2, 3)
	b.established()
	stop := b.watchRoutes(lab.Router(1))
	restarted := b.NextSpeaker(2)
	_, err := lab.ExecInside(b.Ctx, 2, "pkill", "-KILL", "-f", "belfry speaker")
	b.Must(err)
	b.Must(restarted(b.Ctx))
	b.established()
	b.through(a, 1, 2, 3)
	if seen := stop(); strings.Contains(seen, a.String()) {
		b.Errorf("the router has touched the route:\n%s", seen)
	}
}

// testLocalEndpoints: only nodes with pods announce, in proportion to their pods, and while pods move nobody is turned away.
func testLocalEndpoints(b *bgpScene) {
	deploy := func(without string) {
		b.Helper()
		manifest := strings.NewReplacer(
			"replicas: 2", "replicas: 3", "terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 10",
			"imagePullPolicy: Never", "imagePullPolicy: Never\n          lifecycle: {preStop: {sleep: {seconds: 4}}}",
		).Replace(harness.WebElsewhere("local", without))
		b.Apply(manifest)
		b.Must(harness.AwaitDeployment(b.Ctx, lab, "default", "local"))
	}
	deploy("n3")
	a := b.routed(1, "local", "local", "externalTrafficPolicy: Local")[0]
	b.through(a, 1, 2)
	b.weighted(a)
	b.answer(a, 80)
	probe := harness.StartPatientProbe(b.Ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
	defer probe.Stop()
	b.Must(probe.AwaitSuccesses(b.Ctx, 50))
	stop, began := b.watchRoutes(lab.Router(1)), time.Now()
	deploy("n1")
	b.through(a, 2, 3)
	b.weighted(a)
	if seen := stop(); strings.Contains(seen, "Deleted "+a.String()) {
		b.Errorf("there was a time without a path:\n%s", seen)
	}
	// A node announces its first pod at once; its kube-proxy may need a moment more.
	ok, failed := probe.Counts()
	b.Logf("%d connections succeeded while pods moved, %d failed: %s", ok, failed, strings.Join(probe.Failures(began), "\n"))
}

// watchRoutes writes down what changes in a router's kernel until the function that it returns is called.
func (b *bgpScene) watchRoutes(r *cluster.Router) (stop func() string) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Ctx)
	var seen strings.Builder
	monitor := r.Command(ctx, "ip", "monitor", "route")
	monitor.Stdout = &seen
	b.Must(monitor.Start())
	b.Cleanup(cancel)
	return func() string {
		cancel()
		_ = monitor.Wait() // killed
		return seen.String()
	}
}

// weighted waits until the weights of the paths in both routers' kernels are as the numbers of the pods: two of three are on one
// node.
func (b *bgpScene) weighted(a netip.Addr) {
	b.Helper()
	for _, r := range lab.Routers() {
		b.Eventually("weights by pods", func() error {
			pods := map[string]int{}
			out := b.Kubectl("get", "pods", "-l", "app=local", "-o", `jsonpath={range .items[*]}{.status.hostIP} {.metadata.deletionTimestamp}{"\n"}{end}`)
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f) == 1 {
					pods[f[0]]++
				}
			}
			paths, err := b.paths(r, a)
			if err != nil {
				return err
			}
			sum := 0
			for _, w := range paths {
				sum += w
			}
			for gateway, w := range paths {
				// FRR makes percentages of the bandwidths.
				if got := float64(w) / float64(max(sum, 1)) * 3; got < float64(pods[gateway])-.2 || got > float64(pods[gateway])+.2 {
					return fmt.Errorf("pods %v, weights %v", pods, paths)
				}
			}
			return nil
		})
	}
}

// testClientAffinity: one client's connections, over two routers and three nodes, reach one pod. When its node is drained, all
// move to one other node.
func testClientAffinity(b *bgpScene) {
	a := b.routed(1, "affine", "web", "sessionAffinity: ClientIP")[0]
	b.Eventually("an answer of its own pods", func() error {
		answer, err := b.get(lab.Client(1), a, 80)
		if err == nil && !strings.HasPrefix(harness.Field(answer, "pod"), "web-") {
			err = fmt.Errorf("the answer is %q", answer)
		}
		return err
	})
	chosen := b.onePath(a, "")
	b.onePod(a)
	i := slices.IndexFunc(lab.Nodes(), func(n *cluster.Host) bool { return n.V4().String() == chosen })
	name := lab.Nodes()[i].Name()
	b.drain(name)
	b.onePath(a, chosen)
	b.onePod(a)
	b.Kubectl("annotate", "node", name, "belfry.dev/drain-")
	b.established()
	b.onePod(a)
}

// onePath waits until both routers have the same one path to the address, and not the one over that gateway.
func (b *bgpScene) onePath(a netip.Addr, not string) (gateway string) {
	b.Helper()
	b.Eventually("one path, and the same for both", func() error {
		all := map[string]bool{}
		for _, r := range lab.Routers() {
			paths, err := b.paths(r, a)
			if err != nil || len(paths) != 1 {
				return fmt.Errorf("%s has %v, %w", r.Name(), paths, err)
			}
			for gateway = range paths {
				all[gateway] = true
			}
		}
		if len(all) != 1 || all[not] {
			return fmt.Errorf("paths are %v", all)
		}
		return nil
	})
	return gateway
}

func (b *bgpScene) onePod(a netip.Addr) {
	b.Helper()
	pods := map[string]int{}
	for range 200 {
		pods[harness.Field(b.answer(a, 80), "pod")]++
	}
	if len(pods) != 1 {
		b.Errorf("200 connections reached %v", pods)
	}
}

// drain marks a node as draining until the test is over.
func (b *bgpScene) drain(node string) {
	b.Helper()
	b.Kubectl("annotate", "node", node, "belfry.dev/drain=")
	b.Cleanup(func() {
		if _, err := harness.Kubectl(context.Background(), lab, nil, "annotate", "node", node, "belfry.dev/drain-"); err != nil {
			b.Error(err)
		}
	})
}

// testPathCut cuts the power of a node: BFD has the router drop its paths long before the hold time is over.
func testPathCut(b *bgpScene) {
	a := b.routed(1, "cut", "web", "")[0]
	b.through(a, 1, 2, 3)
	b.established()
	restarted := b.NextSpeaker(3)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(lab.StartNode(ctx, 3), restarted(ctx)); err != nil {
			b.Error(err)
		}
	})
	began := time.Now()
	b.Must(lab.KillNode(b.Ctx, 3))
	cut := time.Now()
	b.Eventually("the path over n3 to go from r2", func() error {
		paths, err := b.paths(lab.Router(2), a)
		if _, there := paths[lab.Node(3).V4().String()]; err == nil && there {
			err = fmt.Errorf("paths are %v", paths)
		}
		return err
	})
	b.Logf("gone from the kernel within %d to %d ms", time.Since(cut).Milliseconds(), time.Since(began).Milliseconds())
	var told map[string]struct {
		LastNotificationReason string
		PeerBfdInfo            struct{ Status string }
	}
	b.Must(b.frr[1].JSON(b.Ctx, "show bgp neighbors "+lab.Node(3).V4().String(), &told))
	for _, n := range told {
		if n.PeerBfdInfo.Status != "Down" || n.LastNotificationReason == "Hold Timer Expired" {
			b.Errorf("the router dropped it for another reason than BFD: %+v", n)
		}
	}
}

// testRouterGone pulls a router's cable: nodes end their sessions at once, and say why.
func testRouterGone(b *bgpScene) {
	b.established()
	plug := func(state string) {
		b.Helper()
		_, err := lab.LAN().Exec(b.Ctx, "ip", "link", "set", "p-r2", state)
		b.Must(err)
	}
	b.Cleanup(func() { plug("up") })
	plug("down")
	for n := range lab.Nodes() {
		b.session(n+1, "r2", func(p v1beta1.SpeakerPeer) bool {
			return p.State == v1beta1.SessionConnecting && strings.Contains(p.Message, "BFD: detection time expired after ") && p.BFD.State == "Down"
		})
	}
	plug("up")
	b.established()
}
