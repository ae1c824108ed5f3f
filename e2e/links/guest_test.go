//go:build guest

package links

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/l2"
)

const patience = 4 * time.Minute // the guest is emulated, on a machine that may have much else to do

var (
	v4 = netip.MustParseAddr("192.0.2.100")
	v6 = netip.MustParseAddr("2001:db8::100")
)

// TestGuest: the node's kernel has each kind of device, the neighbour's kernel is the judge of whom packets would go to.
func TestGuest(t *testing.T) {
	t.Run("bond", testBond)
	t.Run("vlan", testVLAN)
	t.Run("vlan on a bond, macvlan on that", testStack)
}

func add(h *nettest.Host, l netlink.Link) {
	h.Must(h.Netlink.LinkAdd(l))
	h.Up(l.Attrs().Name)
}

func newBond(h *nettest.Host, ports ...string) {
	b := netlink.NewLinkBond(nettest.Named("bond0"))
	b.Mode, b.Miimon = netlink.BOND_MODE_ACTIVE_BACKUP, 20
	add(h, b)
	for _, p := range ports {
		h.Down(p)
		h.Enslave("bond0", p)
		h.Up(p)
	}
}

func newVLAN(h *nettest.Host, parent, name string, id int) {
	a := nettest.Named(name)
	a.ParentIndex = h.Link(parent).Attrs().Index
	add(h, &netlink.Vlan{LinkAttrs: a, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

// neighbour has a switch with two cables to the node, and addresses.
func neighbour(t *testing.T, node *nettest.Host) *nettest.Host {
	h := nettest.NewHost(t)
	h.Bridge("br0")
	for _, port := range []string{"eth0", "eth1"} {
		nettest.Cable(node, port, h, "to-"+port)
		h.Enslave("br0", "to-"+port)
	}
	h.Address("br0", "192.0.2.9/24", "2001:db8::9/64")
	return h
}

func announce(t *testing.T, h *nettest.Host) *l2.Announcer {
	a, err := l2.New(l2.Options{Log: logr.Discard()})
	h.Must(err)
	h.Run(a.Run)
	return a
}

// runs applies until both addresses are announced on these interfaces.
func runs(t *testing.T, a *l2.Announcer, on ...string) {
	t.Helper()
	d := l2.Desired{Entries: map[netip.Addr]l2.Entry{v4: {Monitor: true}, v6: {Monitor: true}}}
	want := map[netip.Addr][]string{v4: on, v6: on}
	for limit := time.After(patience); ; {
		got, err := a.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		diff := cmp.Diff(want, got.Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
		if diff == "" {
			return
		}
		select {
		case <-a.Changed():
		case <-time.After(time.Second):
		case <-limit:
			t.Fatalf("problems: %v; %s", got.Problems, diff)
		}
	}
}

// knows waits until the neighbour's kernel has the addresses at a hardware address, having asked for it.
func knows(t *testing.T, h *nettest.Host, dev string, at net.HardwareAddr) {
	t.Helper()
	for _, a := range []netip.Addr{v4, v6} {
		var seen []string
		found := func() bool {
			_ = h.Do(func() error { // a host that does not resolve refuses to send
				c, err := net.Dial("udp", netip.AddrPortFrom(a, 9).String())
				if err == nil {
					_, err = c.Write([]byte{0})
					_ = c.Close()
				}
				return err
			})
			list, err := h.Netlink.NeighList(h.Link(dev).Attrs().Index, netlink.FAMILY_ALL)
			h.Must(err)
			seen = nil
			for _, n := range list {
				seen = append(seen, n.String())
			}
			return slices.ContainsFunc(list, func(n netlink.Neigh) bool {
				return n.IP.Equal(a.AsSlice()) && n.State&(unix.NUD_REACHABLE|unix.NUD_DELAY|unix.NUD_STALE|unix.NUD_PROBE) != 0 && n.HardwareAddr.String() == at.String()
			})
		}
		for limit, tick := time.After(patience), time.NewTicker(50*time.Millisecond); !found(); {
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("%s is not at %s; the neighbour knows %q", a, at, seen)
			}
		}
	}
}

func names(a *l2.Announcer) (out []string) {
	for _, i := range a.Interfaces() {
		out = append(out, i.Name)
	}
	return out
}

// testBond: the bond answers, its ports do not, and when the active port goes the other carries the answers on.
func testBond(t *testing.T) {
	node := nettest.NewHost(t)
	h := neighbour(t, node)
	newBond(node, "eth0", "eth1")
	node.Address("bond0", "192.0.2.2/24", "2001:db8::2/64")
	a := announce(t, node)
	runs(t, a, "bond0")
	if got := names(a); !slices.Equal(got, []string{"bond0"}) {
		t.Errorf("announces on %v", got)
	}
	knows(t, h, "br0", node.MAC("bond0"))

	node.Down("eth0")
	forget(h, "br0")
	runs(t, a, "bond0")
	knows(t, h, "br0", node.MAC("bond0"))
}

// forget empties a neighbour's table.
func forget(h *nettest.Host, dev string) {
	list, err := h.Netlink.NeighList(h.Link(dev).Attrs().Index, netlink.FAMILY_ALL)
	h.Must(err)
	for _, n := range list {
		if n.State&unix.NUD_PERMANENT == 0 && n.State&unix.NUD_NOARP == 0 {
			h.Must(h.Netlink.NeighDel(&n))
		}
	}
}

// testVLAN: an address is announced in the VLANs of its interfaces, and in no other.
func testVLAN(t *testing.T) {
	node, h := nettest.NewHost(t), nettest.NewHost(t)
	nettest.Cable(node, "eth0", h, "eth0")
	for _, x := range []*nettest.Host{node, h} {
		newVLAN(x, "eth0", "eth0.10", 10)
		newVLAN(x, "eth0", "eth0.20", 20)
	}
	node.Address("eth0", "198.51.100.2/24", "2001:db8:1::2/64")
	node.Address("eth0.10", "192.0.2.2/24", "2001:db8::2/64")
	node.Address("eth0.20", "203.0.113.2/24", "2001:db8:2::2/64")
	h.Address("eth0.10", "192.0.2.9/24", "2001:db8::9/64")
	a := announce(t, node)
	on := func(names ...string) l2.Desired {
		return l2.Desired{Entries: map[netip.Addr]l2.Entry{v4: {Interfaces: names}, v6: {Interfaces: names}}}
	}
	<-a.Ready()
	if got := names(a); !slices.Equal(got, []string{"eth0", "eth0.10", "eth0.20"}) {
		t.Errorf("could announce on %v", got)
	}
	// Everywhere but where the neighbour is: it hears nothing, for a tagged frame is none of the parent's.
	for _, d := range []l2.Desired{on("eth0", "eth0.20"), on("eth0.10")} {
		if _, err := a.Apply(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if len(d.Entries[v4].Interfaces) == 2 {
			silent(t, h, "eth0.10")
		}
	}
	knows(t, h, "eth0.10", node.MAC("eth0.10"))
}

// silent waits until the neighbour's kernel has given up asking.
func silent(t *testing.T, h *nettest.Host, dev string) {
	t.Helper()
	h.Must(h.Do(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(v4, 9).String())
		if err != nil {
			return err
		}
		_, err = c.Write([]byte{0})
		return errors.Join(err, c.Close())
	}))
	for limit := time.After(patience); ; {
		list, err := h.Netlink.NeighList(h.Link(dev).Attrs().Index, netlink.FAMILY_V4)
		h.Must(err)
		i := slices.IndexFunc(list, func(n netlink.Neigh) bool { return n.IP.Equal(v4.AsSlice()) })
		if i >= 0 && list[i].HardwareAddr != nil && len(list[i].HardwareAddr) > 0 && list[i].State&unix.NUD_REACHABLE != 0 {
			t.Fatalf("it was told of %s", list[i].String())
		}
		if i >= 0 && list[i].State&unix.NUD_FAILED != 0 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			t.Fatal("the neighbour still asks")
		}
	}
}

// testStack: a macvlan on a VLAN on a bond has a hardware address of its own.
func testStack(t *testing.T) {
	node := nettest.NewHost(t)
	h := neighbour(t, node)
	newBond(node, "eth0", "eth1")
	newVLAN(node, "bond0", "bond0.10", 10)
	a := nettest.Named("mv0")
	a.ParentIndex = node.Link("bond0.10").Attrs().Index
	add(node, &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE})
	newVLAN(h, "br0", "br0.10", 10)
	h.Must(h.Netlink.AddrDel(h.Link("br0"), must(netlink.ParseAddr("192.0.2.9/24"))))
	h.Must(h.Netlink.AddrDel(h.Link("br0"), must(netlink.ParseAddr("2001:db8::9/64"))))
	h.Address("br0.10", "192.0.2.9/24", "2001:db8::9/64")
	node.Address("mv0", "192.0.2.2/24", "2001:db8::2/64")
	speaks := announce(t, node)
	<-speaks.Ready()
	d := l2.Desired{Entries: map[netip.Addr]l2.Entry{v4: {Interfaces: []string{"mv0"}}, v6: {Interfaces: []string{"mv0"}}}}
	for limit := time.After(patience); ; {
		got, err := speaks.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Addresses) == 2 {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			t.Fatalf("problems: %v", got.Problems)
		}
	}
	knows(t, h, "br0.10", node.MAC("mv0"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
