//go:build linux

package bgp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

const packagesEnv = "BELFRY_ROUTER_PACKAGES"

func TestMain(m *testing.M) {
	os.Exit(router.Sandbox(fetch, func() int {
		if os.Getenv(engineEnv) != "" {
			return engineProcess()
		}
		return m.Run()
	}))
}

func fetch() ([]string, error) {
	dir, err := cluster.Packages(context.Background(), os.Stderr, "frr", "bird2")
	return []string{packagesEnv + "=" + dir}, err
}

var cables atomic.Int32

// cable leads from the node to a router's namespace.
type cable struct {
	t *testing.T
	n int
	// ns is the router's namespace, dev the node's interface.
	ns, dev                string
	node4, node6, us4, us6 netip.Addr // the node's; the router's
}

func newCable(t *testing.T) *cable {
	t.Helper()
	n := int(cables.Add(1))
	c := &cable{
		t: t, n: n, ns: fmt.Sprintf("r%d", n), dev: fmt.Sprintf("to-r%d", n),
		node4: netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), node6: netip.MustParseAddr(fmt.Sprintf("fd00:%d::1", n)),
		us4: netip.AddrFrom4([4]byte{10, 0, byte(n), 2}), us6: netip.MustParseAddr(fmt.Sprintf("fd00:%d::2", n)),
	}
	ip(t, "netns", "add", c.ns)
	t.Cleanup(func() { ip(t, "netns", "del", c.ns) })
	for _, key := range []string{"all", "default"} {
		out, err := exec.Command("ip", "netns", "exec", c.ns, "sysctl", "-q", "-w", "net.ipv6.conf."+key+".accept_dad=0",
			"net.ipv6.conf."+key+".forwarding=1", "net.ipv4.ip_forward=1").CombinedOutput()
		if err != nil {
			t.Fatalf("sysctl: %v: %s", err, out)
		}
	}
	ip(t, "link", "add", c.dev, "type", "veth", "peer", "name", "eth0", "netns", c.ns)
	ip(t, "addr", "add", c.node4.String()+"/24", "dev", c.dev)
	ip(t, "addr", "add", c.node6.String()+"/64", "dev", c.dev, "nodad")
	ip(t, "link", "set", c.dev, "up")
	ip(t, "-n", c.ns, "link", "set", "lo", "up")
	ip(t, "-n", c.ns, "addr", "add", c.us4.String()+"/24", "dev", "eth0")
	ip(t, "-n", c.ns, "addr", "add", c.us6.String()+"/64", "dev", "eth0", "nodad")
	ip(t, "-n", c.ns, "link", "set", "eth0", "up")
	// The carrier, and with it the link-local addresses, may take the kernel a second. Routers do not like to wait for them.
	eventually(t, "both ends have link-local addresses", func() error {
		for _, end := range [][]string{{"dev", c.dev}, {"-n", c.ns, "dev", "eth0"}} {
			args := append(slices.Clone(end[:len(end)-2]), "-6", "addr", "show", "scope", "link")
			if ip(t, append(args, end[len(end)-2:]...)...) == "" {
				return fmt.Errorf("none at %v", end)
			}
		}
		return nil
	})
	return c
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c *cable) place() router.Place {
	return router.Place{Packages: os.Getenv(packagesEnv), NetNS: "/run/netns/" + c.ns, Dir: c.dir()}
}

// frr starts FRR at the router's end. The words $node4 and so on stand for the cable's addresses.
func (c *cable) frr(conf string) *router.FRR {
	c.t.Helper()
	f, err := router.StartFRR(c.t.Context(), c.place(), c.expand(conf))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(f.Kill)
	return f
}

func (c *cable) bird(conf string) *router.BIRD {
	c.t.Helper()
	b, err := router.StartBIRD(c.t.Context(), c.place(), c.expand(conf))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(b.Kill)
	return b
}

func (c *cable) expand(conf string) string {
	return strings.NewReplacer("$node4", c.node4.String(), "$node6", c.node6.String(), "$us4", c.us4.String(), "$us6", c.us6.String()).Replace(conf)
}

// route is one of a kernel's routes, as ip(8) tells it.
type route struct {
	Dst      string `json:"dst"`
	Gateway  string `json:"gateway"`
	Protocol string `json:"protocol"`
	Via      struct {
		Family string `json:"family"`
		Host   string `json:"host"`
	} `json:"via"`
	Nexthops []struct {
		Gateway string `json:"gateway"`
		Weight  int    `json:"weight"`
	} `json:"nexthops"`
}

// kernel returns the routes that the router's daemon has put into its kernel, by destination.
func (c *cable) kernel() map[string]route {
	c.t.Helper()
	all := map[string]route{}
	for _, family := range []string{"-4", "-6"} {
		var routes []route
		out := ip(c.t, "-n", c.ns, family, "-j", "route", "show")
		if err := json.Unmarshal([]byte(out), &routes); err != nil {
			c.t.Fatalf("%v: %s", err, out)
		}
		for _, r := range routes {
			if r.Protocol == "bgp" || r.Protocol == "bird" {
				all[r.Dst] = r
			}
		}
	}
	return all
}

// via says through which next hop the router's kernel reaches a destination, "" if by no route of BGP's.
func (c *cable) via(dst string) string {
	c.t.Helper()
	r := c.kernel()[strings.TrimSuffix(strings.TrimSuffix(dst, "/32"), "/128")]
	return r.Gateway + r.Via.Host
}

// engine is a bgp.Router that runs.
type engine struct {
	*bgp.Router
	t    *testing.T
	stop func()
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	var log logr.Logger
	if testing.Verbose() {
		log = testr.New(t)
	}
	r, err := bgp.New(bgp.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	e := &engine{Router: r, t: t, stop: func() { cancel(); wg.Wait() }}
	t.Cleanup(e.stop)
	return e
}

func (e *engine) apply(d bgp.Desired) bgp.Running {
	e.t.Helper()
	r, err := e.Apply(e.t.Context(), d)
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// until applies d until the peer called r is as the condition wants it.
func (e *engine) until(d bgp.Desired, what string, ok func(bgp.Status) bool) bgp.Status {
	e.t.Helper()
	var last bgp.Status
	eventually(e.t, what, func() error {
		if last = e.apply(d).Peers["r"]; !ok(last) {
			return fmt.Errorf("peer is %+v", last)
		}
		return nil
	})
	return last
}

func (e *engine) established(d bgp.Desired) bgp.Status {
	e.t.Helper()
	return e.until(d, "the session is established", func(s bgp.Status) bool { return s.State == bgp.Established })
}

// eventually waits, generously, for a condition.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never saw that %s: %v", what, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("never saw that %s: %v", what, errors.Join(err, t.Context().Err()))
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// peer returns an eBGP peer at the other end of the cable: AS 64512 here, AS 64513 there.
func (c *cable) peer(routes map[netip.Prefix]bgp.Route) bgp.Peer {
	return bgp.Peer{
		Session: bgp.Session{
			LocalASN: 64512, PeerASN: 64513, RouterID: netip.AddrFrom4([4]byte{192, 0, 2, byte(c.n)}), Address: c.us4,
			HoldTime: 9 * time.Second, ConnectTime: 3 * time.Second,
		},
		Routes: routes,
	}
}

func only(p bgp.Peer) bgp.Desired { return bgp.Desired{Peers: map[string]bgp.Peer{"r": p}} }

func routes(prefixes ...string) map[netip.Prefix]bgp.Route {
	all := map[netip.Prefix]bgp.Route{}
	for _, p := range prefixes {
		all[netip.MustParsePrefix(p)] = bgp.Route{}
	}
	return all
}

// dir is where the router keeps its logs; they are shown if the test fails.
func (c *cable) dir() string {
	dir := c.t.TempDir()
	c.t.Cleanup(func() {
		if !c.t.Failed() {
			return
		}
		for _, name := range []string{"log", "zebra.log", "bgpd.log"} {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			c.t.Logf("%s of %s:\n%s", name, c.ns, strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return dir
}

// logs waits until the router's log has a line with all the words.
func logs(t *testing.T, f *router.FRR, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the router logs %q", words), func() error {
		text, err := f.Log()
		for line := range strings.Lines(text) {
			missing := slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
			if !missing {
				return nil
			}
		}
		return errors.Join(err, errors.New("no such line"))
	})
}
