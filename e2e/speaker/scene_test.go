package speaker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
)

const (
	node1, node2, node3 = "10.9.0.1", "10.9.0.2", "10.9.0.3"
	router1, router2    = "10.9.0.101", "10.9.0.102"
)

var web = netip.MustParseAddr("203.0.113.7")

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var anywhere = netip.MustParsePrefix("0.0.0.0/0")

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// newScene makes a LAN and the objects that every test needs: a pool that routers are told of, and a Service with pods on
// nodes n1, n2 and n3.
func newScene(t testing.TB, change ...func(*v1beta1.BGPAdvertisementSpec)) nettest.LAN {
	t.Helper()
	api.PutNamespace(t)
	create(t, pool("203.0.113.0/24", "10.200.0.0/16", "2001:db8:71::/120"))
	create(t, advertisement(change...))
	create(t, endpoints("web", web, "n1", "n2", "n3"))
	create(t, service("web", web))
	return nettest.NewLAN(t)
}

// frrConfig is that of a router of AS 64513 whose neighbours get these lines each, behind their address.
func frrConfig(neighbours []string, lines ...string) string {
	var conf strings.Builder
	conf.WriteString("router bgp 64513\n no bgp ebgp-requires-policy\n bgp bestpath as-path multipath-relax\n bgp log-neighbor-changes\n")
	for _, n := range neighbours {
		for _, l := range append([]string{"remote-as 64512", "timers connect 1"}, lines...) {
			fmt.Fprintf(&conf, " neighbor %s %s\n", n, l)
		}
	}
	conf.WriteString(" address-family ipv4 unicast\n  maximum-paths 8\n exit-address-family\n")
	return conf.String()
}

// frrBFD is a profile of FRR's.
func frrBFD(milliseconds, multiplier int) string {
	return fmt.Sprintf("bfd\n profile fast\n  transmit-interval %[1]d\n  receive-interval %[1]d\n  detect-multiplier %[2]d\n exit\nexit\n", milliseconds, multiplier)
}

// frrWatched are the lines of a neighbour that BFD watches.
func frrWatched(router string, more ...string) []string {
	return append([]string{"update-source " + router, "bfd profile fast"}, more...)
}

// birdConfig is that of a router of AS 64513.
func birdConfig(router, bfd, more string, neighbours ...string) string {
	var conf strings.Builder
	fmt.Fprintf(&conf, "router id %s;\nprotocol device {}\nprotocol kernel { merge paths on; ipv4 { export all; }; }\nprotocol bfd { interface \"*\" { %s }; }\n", router, bfd)
	for i, n := range neighbours {
		fmt.Fprintf(&conf, "protocol bgp b%d { local %s as 64513; neighbor %s as 64512; connect retry time 1; error wait time 1, 2; %s ipv4 { import all; export none; }; }\n",
			i+1, router, n, more)
	}
	return conf.String()
}

func birdTimers(milliseconds, multiplier int) string {
	return fmt.Sprintf("min rx interval %d ms; min tx interval %[1]d ms; multiplier %d;", milliseconds, multiplier)
}

// Changes of a BGPPeer.
func withBFD(s *v1beta1.BGPPeerSpec)    { s.BFDProfile = "fast" }
func gracefully(s *v1beta1.BGPPeerSpec) { on := true; s.EnableGracefulRestart = &on }
func local(o *corev1.Service) {
	o.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}
func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}
func holding(n int) func(*v1beta1.BGPPeerSpec) {
	return func(s *v1beta1.BGPPeerSpec) { s.HoldTime = seconds(n) }
}

// serve has the node answer at an address, with its name. As with kube-proxy, the address is none of the node's own.
func (n *node) serve(a netip.Addr) {
	n.t.Helper()
	n.Must(n.Netlink.RouteAdd(&netlink.Route{
		Dst: ipNet(host(a)), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, LinkIndex: n.Link("lo").Attrs().Index, Scope: unix.RT_SCOPE_HOST,
	}))
	var l net.Listener
	must(n.t, n.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(a, 80).String())
		return err
	}))
	n.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(n.Name)) // a client that is gone asks again
			_ = c.Close()
		}
	}()
}

// ask connects from a host and returns who answers.
func ask(h *nettest.Host, a netip.Addr) (name string, err error) {
	err = h.Do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, 80).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // fails on a closed connection only
		b := make([]byte, 64)
		k, err := c.Read(b)
		name = string(b[:k])
		return err
	})
	return name, err
}

// spread gives a host routes to an address over several routers, connection by connection.
func spread(h *nettest.Host, a netip.Addr, routers ...string) {
	r := &netlink.Route{Dst: ipNet(host(a))}
	for _, hop := range routers {
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: h.Link("eth0").Attrs().Index, Gw: addr(hop).AsSlice()})
	}
	h.Must(h.Netlink.RouteAdd(r))
}

func containsAll(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
