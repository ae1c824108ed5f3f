package discard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// world is a client before a node whose default route leads to a server that has every address.
//
//	client 10.1.0.2 ── 10.1.0.1 node 10.2.0.1 ── 10.2.0.2 server
func world(t *testing.T) (client, node *nettest.Host) {
	t.Helper()
	client, node, server := nettest.NewHost(t), nettest.NewHost(t), nettest.NewHost(t)
	nettest.Cable(client, "eth0", node, "eth0")
	nettest.Cable(node, "eth1", server, "eth0")
	client.Address("eth0", "10.1.0.2/24", "fd01::2/64")
	node.Address("eth0", "10.1.0.1/24", "fd01::1/64")
	node.Address("eth1", "10.2.0.1/24", "fd02::1/64")
	server.Address("eth0", "10.2.0.2/24", "fd02::2/64")
	server.Address("lo", "203.0.113.7/32", "203.0.113.8/32", "198.51.100.7/32", "2001:db8::7/128")
	client.Route("0.0.0.0/0", "10.1.0.1")
	client.Route("::/0", "fd01::1")
	node.Route("0.0.0.0/0", "10.2.0.2")
	node.Route("::/0", "fd02::2")
	server.Route("0.0.0.0/0", "10.2.0.1")
	server.Route("::/0", "fd02::1")
	node.Forward()
	var l net.Listener
	node.Must(server.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", ":80")
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return client, node
}

// connects tries a connection to port 80.
func connects(t *testing.T, from *nettest.Host, addr string) error {
	t.Helper()
	return from.Do(func() error {
		d := net.Dialer{Timeout: 20 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(addr), 80).String())
		if err == nil {
			c.Close()
		}
		return err
	})
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestRefused(t *testing.T) {
	client, node := world(t)
	rules := New(node.Netlink)
	before := count(t, node)
	expect := func(want map[string]bool) {
		t.Helper()
		for addr, open := range want {
			err := connects(t, client, addr)
			// An ICMP message says "host unreachable", ICMPv6 "no route".
			if refused := errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH); open && err != nil || !open && !refused {
				t.Errorf("from outside to %s: %v, want open %t", addr, err, open)
			}
			if err := connects(t, node, addr); err != nil {
				t.Errorf("the node's own connection to %s: %v", addr, err)
			}
		}
	}
	expect(map[string]bool{"203.0.113.7": true, "2001:db8::7": true})

	want := prefixes("203.0.113.0/24", "198.51.100.7/32", "2001:db8::/64")
	got, err := rules.Apply(want)
	if err != nil || !slices.Equal(got.Prefixes, prefixes("198.51.100.7/32", "203.0.113.0/24", "2001:db8::/64")) {
		t.Fatalf("running %v, %v", got, err)
	}
	expect(map[string]bool{"203.0.113.7": false, "203.0.113.8": false, "198.51.100.7": false, "2001:db8::7": false, "10.2.0.2": true})

	// Another speaker finds what this one left.
	got, err = New(node.Netlink).Apply(prefixes("203.0.113.8/32"))
	if err != nil || !slices.Equal(got.Prefixes, prefixes("203.0.113.8/32")) {
		t.Fatalf("running %v, %v", got, err)
	}
	expect(map[string]bool{"203.0.113.7": true, "203.0.113.8": false, "2001:db8::7": true})

	if got, err = rules.Apply(nil); err != nil || len(got.Prefixes) > 0 {
		t.Fatalf("running %v, %v", got, err)
	}
	expect(map[string]bool{"203.0.113.8": true})
	if after := count(t, node); after != before {
		t.Errorf("%d rules, %d before", after, before)
	}
}

// TestOwnNetwork: an aggregate with the node's own address in it would refuse what the node forwards to its neighbours.
func TestOwnNetwork(t *testing.T) {
	_, node := world(t)
	got, err := New(node.Netlink).Apply(prefixes("10.2.0.0/24", "203.0.113.7/32"))
	if err != nil || len(got.Prefixes) != 1 || got.Withheld[prefixes("10.2.0.0/24")[0]] != "10.2.0.1 is this node's own address" {
		t.Errorf("running %v, %v", got, err)
	}
}

func count(t *testing.T, h *nettest.Host) (n int) {
	t.Helper()
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := h.Netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		n += len(rules)
	}
	return n
}

// broken is a kernel that refuses changes.
type broken struct {
	*netlink.Handle
	err error
}

func (b broken) RuleAdd(*netlink.Rule) error { return b.err }

func TestWithoutCapability(t *testing.T) {
	_, node := world(t)
	r := &Rules{broken{node.Netlink, os.NewSyscallError("sendmsg", unix.EPERM)}}
	got, err := r.Apply(prefixes("203.0.113.7/32"))
	if err == nil || !strings.Contains(err.Error(), "NET_ADMIN") || len(got.Prefixes) != 0 {
		t.Errorf("running %v, %v", got, err)
	}
}
