package speaker

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
)

// TestDiscardUnused: what nobody serves of an announced aggregate would go back and forth between the node and its default
// gateway until its TTL is over. It is refused instead, across a crash of the speaker, and no longer than the route is there.
func TestDiscardUnused(t *testing.T) {
	length, on := int32(24), true
	adv := advertisement(func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength, s.DiscardUnused = &length, on })
	l := newScene(t, func(s *v1beta1.BGPAdvertisementSpec) { *s = adv.Spec })
	aggregate, unused := netip.MustParsePrefix("203.0.113.0/24"), addr("203.0.113.99")
	create(t, bgpPeer("r1", router1, holding(3)))
	r := newGateway(t, l, "r1", router1+"/24")
	r.frr(frrConfig([]string{node1}))
	client := nettest.NewHost(t)
	nettest.Cable(client, "eth0", r.Host, "eth1")
	client.Address("eth0", "10.8.0.2/24")
	r.Address("eth1", "10.8.0.1/24")
	client.Route("0.0.0.0/0", "10.8.0.1")
	n := newNode(t, l, "n1", node1+"/24")
	n.Route("0.0.0.0/0", router1)
	n.serve(web)
	before := rules(t, n)

	n.up()
	r.has(aggregate, node1)
	refused := func(when string) {
		t.Helper()
		eventually(t, "unused addresses are refused "+when, func() error {
			from, kind, err := answer(client, unused)
			if err != nil || from != addr(node1) || kind != unreachable {
				return fmt.Errorf("%s says ICMP %d, %w", from, kind, err)
			}
			return nil
		})
		if who, err := ask(client, web); err != nil || who != "n1" {
			t.Errorf("%s: the one that is in use: %q, %v", when, who, err)
		}
	}
	refused("at first")
	with := rules(t, n)
	if with <= before {
		t.Errorf("%d rules, %d before", with, before)
	}
	_ = n.Stop(unix.SIGKILL)
	n.up()
	r.has(aggregate, node1)
	refused("after a crash")
	if again := rules(t, n); again != with {
		t.Errorf("%d rules after a crash, %d before", again, with)
	}
	remove(t, adv)
	r.has(aggregate)
	eventually(t, "the rules go with the route", func() error {
		if now := rules(t, n); now != before {
			return fmt.Errorf("%d rules, %d before", now, before)
		}
		return nil
	})
}

// rules counts the policy rules of a node.
func rules(t *testing.T, n *node) int {
	t.Helper()
	all, err := n.Netlink.RuleList(unix.AF_INET)
	must(t, err)
	return len(all)
}

// ICMP types, RFC 792.
const unreachable = 3

// answer sends a datagram to an address and returns who has what to say about it, in terms of ICMP.
func answer(from *nettest.Host, to netip.Addr) (who netip.Addr, kind byte, err error) {
	err = from.Do(func() error {
		ears, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
		if err != nil {
			return err
		}
		defer func() { _ = ears.Close() }()
		c, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			return err
		}
		if err := ears.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		b := make([]byte, 1500)
		_, peer, err := ears.ReadFrom(b)
		if err == nil {
			who, kind = netip.MustParseAddr(peer.String()), b[0]
		}
		return err
	})
	return who, kind, err
}
