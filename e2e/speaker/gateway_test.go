package speaker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/nettest"
)

// gateway is a router on the LAN. Its daemon has to be started.
type gateway struct {
	*nettest.Host
	t      testing.TB
	daemon *router.FRR // the last one
}

func newGateway(t testing.TB, l nettest.LAN, name string, cidrs ...string) *gateway {
	t.Helper()
	g := &gateway{Host: nettest.NewHost(t), t: t}
	l.Join(g.Host, name, cidrs...)
	g.Forward()
	g.Sysctl("ipv4/fib_multipath_hash_policy", "1")
	return g
}

func (g *gateway) place() router.Place {
	dir := g.t.TempDir()
	g.t.Cleanup(func() {
		if !g.t.Failed() {
			return
		}
		for _, name := range []string{"log", "zebra.log", "bgpd.log", "bfdd.log"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				lines := strings.Split(strings.TrimSpace(string(text)), "\n")
				g.t.Logf("%s:\n%s", name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
			}
		}
	})
	return router.Place{Packages: os.Getenv(packagesEnv), NetNS: g.Path(), Dir: dir}
}

func (g *gateway) frr(conf string) *router.FRR {
	g.t.Helper()
	f, err := router.StartFRR(context.Background(), g.place(), conf)
	must(g.t, err)
	g.t.Cleanup(f.Kill)
	g.daemon = f
	return f
}

func (g *gateway) bird(conf string) *router.BIRD {
	g.t.Helper()
	b, err := router.StartBIRD(context.Background(), g.place(), conf)
	must(g.t, err)
	g.t.Cleanup(b.Kill)
	return b
}

// paths are the next hops of a destination in the router's kernel, with their weights; none if there is no such route.
func (g *gateway) paths(dst netip.Prefix) map[string]int {
	g.t.Helper()
	family := unix.AF_INET
	if dst.Addr().Is6() {
		family = unix.AF_INET6
	}
	routes, err := g.Netlink.RouteListFiltered(family, &netlink.Route{Dst: ipNet(dst)}, netlink.RT_FILTER_DST)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return g.paths(dst)
	}
	must(g.t, err)
	all := map[string]int{}
	for _, r := range routes {
		if hop := via(r.Gw, r.Via); hop != "" {
			all[hop] = 1
		}
		for _, n := range r.MultiPath {
			all[via(n.Gw, n.Via)] = n.Hops + 1
		}
	}
	return all
}

func via(gw net.IP, v netlink.Destination) string {
	if gw != nil {
		return gw.String()
	}
	if v, ok := v.(*netlink.Via); ok {
		return v.Addr.String()
	}
	return ""
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// has waits until the router's kernel has paths over exactly these next hops.
func (g *gateway) has(dst netip.Prefix, hops ...string) {
	g.t.Helper()
	slices.Sort(hops)
	eventually(g.t, fmt.Sprintf("paths to %s over %v", dst, hops), func() error {
		if got := slices.Sorted(maps.Keys(g.paths(dst))); !slices.Equal(got, hops) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// watches waits until FRR's BFD session with a neighbour is up that it makes when it knows its own address: after its start, it
// makes one without and drops it, and BGP with it, as soon as BGP is established.
func (g *gateway) watches(neighbor string) {
	g.t.Helper()
	eventually(g.t, "FRR's last BFD session with "+neighbor, func() error {
		var all []struct{ Peer, Local, Status string }
		if err := g.daemon.JSON(context.Background(), "show bfd peers", &all); err != nil {
			return err
		}
		for _, s := range all {
			if s.Peer == neighbor && s.Local != "" && s.Status == "up" {
				return nil
			}
		}
		return fmt.Errorf("it has %+v", all)
	})
}

// event is a change of the router's routes to some destination.
type event struct {
	at   time.Time
	gone bool
	dst  netip.Prefix
}

// watch returns what becomes of the routes of the router's kernel, as it happens.
func (g *gateway) watch() <-chan event {
	g.t.Helper()
	updates, events := make(chan netlink.RouteUpdate, 4096), make(chan event, 65536)
	stop := make(chan struct{})
	must(g.t, g.Do(func() error { return netlink.RouteSubscribe(updates, stop) }))
	g.t.Cleanup(func() { close(stop) })
	go func() {
		for u := range updates {
			if u.Dst == nil || u.Table != unix.RT_TABLE_MAIN {
				continue
			}
			a, _ := netip.AddrFromSlice(u.Dst.IP)
			ones, _ := u.Dst.Mask.Size()
			events <- event{time.Now(), u.Type == unix.RTM_DELROUTE, netip.PrefixFrom(a.Unmap(), ones)}
		}
	}()
	return events
}

// next returns the next event.
func next(t testing.TB, events <-chan event) event {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case e := <-events:
		return e
	case <-timeout.C:
		t.Fatalf("no event within %s", patience)
	}
	return event{}
}

// await returns the next event that has this outcome for a destination.
func await(t testing.TB, events <-chan event, dst netip.Prefix, gone bool) event {
	t.Helper()
	for {
		if e := next(t, events); e.dst == dst && e.gone == gone {
			return e
		}
	}
}

// wantOne tells whether there is one path, over one of these next hops.
func wantOne(paths map[string]int, hops ...string) error {
	for _, h := range hops {
		if len(paths) == 1 && paths[h] > 0 {
			return nil
		}
	}
	return fmt.Errorf("paths are %v", paths)
}

// linkLocal returns the link-local address of an interface, which the kernel gives it soon after it has come up.
func linkLocal(h *nettest.Host, name string) (found netip.Addr) {
	for !found.IsValid() {
		addrs, err := h.Netlink.AddrList(h.Link(name), unix.AF_INET6)
		h.Must(err)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				found = netip.AddrFrom16([16]byte(a.IP.To16()))
			}
		}
	}
	return found
}
