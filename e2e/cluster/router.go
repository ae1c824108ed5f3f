//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/belfry-lb/belfry/e2e/router"
)

// Router is a host on the LAN that forwards packets, as a router before a cluster does. Its routing daemon has to be started.
type Router struct {
	*Host
	c *Cluster
}

// Router returns router i, from 1. It panics if there is no such router.
func (c *Cluster) Router(i int) *Router { return &Router{c.numbered("router", routerName(i)), c} }

// Routers returns all routers in order.
func (c *Cluster) Routers() []*Router {
	all := make([]*Router, 0, c.rec.Routers)
	for i := 1; i <= c.rec.Routers; i++ {
		all = append(all, c.Router(i))
	}
	return all
}

// FRR starts FRR on the router and waits until it has taken the configuration. It ends with Kill, with this process or with the lab.
func (r *Router) FRR(ctx context.Context, conf string) (*router.FRR, error) {
	place, err := r.place(ctx, "frr")
	if err != nil {
		return nil, err
	}
	return router.StartFRR(ctx, place, conf)
}

// BIRD starts BIRD on the router and waits until it runs. It ends as FRR does.
func (r *Router) BIRD(ctx context.Context, conf string) (*router.BIRD, error) {
	place, err := r.place(ctx, "bird2")
	if err != nil {
		return nil, err
	}
	return router.StartBIRD(ctx, place, conf)
}

// place has what a daemon needs: the package, unpacked, and a directory for its files.
func (r *Router) place(ctx context.Context, pkg string) (router.Place, error) {
	packages, err := Packages(ctx, os.Stderr, pkg)
	if err != nil {
		return router.Place{}, err
	}
	parent := filepath.Join(r.c.rec.StateDir, r.name)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return router.Place{}, err
	}
	dir, err := os.MkdirTemp(parent, pkg+"-")
	if err != nil {
		return router.Place{}, fmt.Errorf("making a directory for %s on %s: %w", pkg, r.name, err)
	}
	return router.Place{Packages: packages, NetNS: r.NetNS(), Dir: dir}, nil
}

// forwarding makes the namespace of the calling thread a router's: it forwards, spreads connections, not hosts, over equal paths, and
// tells nobody of a better way. Hosts keep to the router that they were told of.
func forwarding() error {
	return writeSysctls(map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
		"ipv4/fib_multipath_hash_policy": "1", "ipv6/fib_multipath_hash_policy": "1",
		"ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0",
		"ipv4/conf/" + uplink + "/send_redirects": "0",
	})
}
