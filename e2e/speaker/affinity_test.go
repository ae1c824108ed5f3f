package speaker

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// TestAffinityNodeCut: one node serves all clients of a Service with client affinity, over two routers. When it is cut off,
// all of them move to one other node; when it is back, they stay there.
func TestAffinityNodeCut(t *testing.T) {
	l := newScene(t)
	a := web.Next()
	create(t, endpoints("affine", a, "n1", "n2", "n3"))
	create(t, service("affine", a, func(o *corev1.Service) { o.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }))
	create(t, bfdProfile("fast", 300, 10))
	create(t, bgpPeer("r1", router1, withBFD))
	create(t, bgpPeer("r2", router2, withBFD))
	client := nettest.NewHost(t)
	l.Join(client, "client", "10.9.0.201/24")
	client.Sysctl("ipv4/fib_multipath_hash_policy", "1")
	routers := []*gateway{newGateway(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")}
	all := []string{node1, node2, node3}
	for i, r := range []string{router1, router2} {
		routers[i].frr(frrBFD(300, 10) + frrConfig(all, frrWatched(r)...))
	}
	spread(client, a, router1, router2)
	nodes := map[string]*node{}
	for i, address := range all {
		n := newNode(t, l, fmt.Sprintf("n%d", i+1), address+"/24")
		n.serve(a)
		n.start()
		nodes[address] = n
	}
	for _, n := range nodes {
		n.says("r1", "it is watched", watched)
		n.says("r2", "it is watched", watched)
	}
	chosen := onePath(t, routers, a, "")
	oneNode(t, client, a, nodes[chosen].Name)

	l.Down(nodes[chosen].Name)
	heir := onePath(t, routers, a, chosen)
	oneNode(t, client, a, nodes[heir].Name)

	l.Up(nodes[chosen].Name)
	for _, r := range []string{"r1", "r2"} {
		nodes[chosen].says(r, "it is watched again", watched)
	}
	for _, r := range routers {
		eventually(t, "the backups are known again", func() error {
			out, err := r.daemon.Show(t.Context(), "show bgp ipv4 unicast "+a.String())
			if err == nil && !containsAll(out, all...) {
				err = fmt.Errorf("the router has %s", out)
			}
			return err
		})
	}
	if now := onePath(t, routers, a, ""); now != heir {
		t.Errorf("clients moved from %s back to %s", heir, now)
	}
	oneNode(t, client, a, nodes[heir].Name)
}

// onePath waits until all routers have the same one path to an address, and not the one over that node.
func onePath(t *testing.T, routers []*gateway, a netip.Addr, not string) (hop string) {
	t.Helper()
	eventually(t, "one path, the same on all routers", func() error {
		seen := map[string]bool{}
		for _, r := range routers {
			paths := slices.Collect(maps.Keys(r.paths(host(a))))
			if len(paths) != 1 {
				return fmt.Errorf("paths are %v", paths)
			}
			hop, seen[paths[0]] = paths[0], true
		}
		if len(seen) != 1 || seen[not] {
			return fmt.Errorf("paths are %v", seen)
		}
		return nil
	})
	return hop
}

// oneNode makes 200 connections, which must all reach one node.
func oneNode(t *testing.T, client *nettest.Host, a netip.Addr, want string) {
	t.Helper()
	seen := map[string]int{}
	for range 200 {
		eventually(t, "an answer", func() error {
			who, err := ask(client, a)
			if err == nil {
				seen[who]++
			}
			return err
		})
	}
	if len(seen) != 1 || seen[want] == 0 {
		t.Errorf("200 connections reached %v, want %s", seen, want)
	}
}
