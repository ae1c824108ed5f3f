package l2

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// The tests below run the announcer in a network namespace and let the kernel of another one judge.

func realApply(t testing.TB, a *Announcer, list ...string) Running {
	t.Helper()
	d := Desired{Entries: map[netip.Addr]Entry{}}
	for _, x := range addrs(list...) {
		d.Entries[x] = Entry{}
	}
	r, err := a.Apply(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNeighbourResolves(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	r := realApply(t, a, "192.0.2.101", "2001:db8::101")
	want := Running{Addresses: map[netip.Addr][]string{one: {"eth0"}, oneV6: {"eth0"}}}
	if diff := cmp.Diff(want, r, equate); diff != "" {
		t.Error(diff)
	}
	neighbour.resolves(one, node.MAC("eth0"))
	neighbour.resolves(oneV6, node.MAC("eth0"))
	node.eventually("replies counted", func() bool {
		return replies(a, "eth0", protocolARP) > 0 && replies(a, "eth0", protocolNDP) > 0
	})
}

// TestAnswersOnlyWhatItShould sends frames by hand and, after each that must stay unanswered, one that is answered: what
// comes in between is seen.
func TestAnswersOnlyWhatItShould(t *testing.T) {
	node, neighbour := pair(t)
	mac, wire := node.MAC("eth0"), neighbour.tap("eth0")
	realApply(t, node.announce(), "192.0.2.101", "192.0.2.102", "2001:db8::101", "2001:db8::102")
	twoV6, absent := netip.MustParseAddr("2001:db8::102"), netip.MustParseAddr("192.0.2.103")
	other := net.HardwareAddr{2, 0, 0, 0, 0, 0xee}
	const unasked = burstCount * (2*2 + 2) // two forms of ARP, one of NDP
	wire.until("end of the bursts", nothing, counted(unasked, speaks(mac, one, two, oneV6, twoV6)))

	tagged := func(f []byte) []byte { return slices.Concat(f[:12], []byte{0x81, 0, 0, 5}, f[12:]) }
	unicast := func(n *nsParts) { n.dst = oneV6 }
	to := func(mac net.HardwareAddr, f []byte) []byte { copy(f, mac); return f }
	probe := func(n *nsParts) { n.src, n.ns.Options = netip.IPv6Unspecified(), nil }
	tests := []struct {
		name  string
		frame []byte
		want  int // answers
	}{
		{"broadcast request", wire.asks(one, ethernet.Broadcast), 1},
		{"request to us", wire.asks(one, mac), 1},
		{"request to another host", wire.asks(one, other), 0},
		{"request to a group", wire.asks(one, net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}), 0},
		{"request in a foreign VLAN", tagged(wire.asks(one, ethernet.Broadcast)), 0},
		{"request for a foreign address", wire.asks(absent, ethernet.Broadcast), 0},
		{"solicitation", wire.solicits(oneV6, nil), 1},
		{"unicast solicitation", to(mac, wire.solicits(oneV6, unicast)), 1},
		{"unicast solicitation without option", to(mac, wire.solicits(oneV6, func(n *nsParts) { unicast(n); n.ns.Options = nil })), 1},
		{"duplicate address probe", wire.solicits(oneV6, probe), 1},
		{"solicitation to another host", to(other, wire.solicits(oneV6, unicast)), 0},
		{"solicitation in a foreign VLAN", tagged(wire.solicits(oneV6, nil)), 0},
		{"solicitation through a router", wire.solicits(oneV6, func(n *nsParts) { n.hops = 254 }), 0},
		{"solicitation for the same low bits", wire.solicits(netip.MustParseAddr("2001:db8:1::101"), nil), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire.send(tt.frame)
			wire.send(wire.asks(two, mac))
			wire.send(wire.solicits(twoV6, nil))
			barriers := counted(2, speaks(mac, two, twoV6))
			ours := speaks(mac, one, oneV6, absent, netip.MustParseAddr("2001:db8:1::101"))
			got := wire.until("answers to what follows", ours, barriers)
			if len(got) != tt.want {
				t.Fatalf("%d answers, want %d", len(got), tt.want)
			}
			for _, f := range got {
				checkAnswer(t, f, mac, wire.mac)
			}
		})
	}
}

func checkAnswer(t *testing.T, frame []byte, node, asker net.HardwareAddr) {
	t.Helper()
	if p, ok := arpOf(frame); ok {
		want := &arp.Packet{
			HardwareType: 1, ProtocolType: 0x800, HardwareAddrLength: 6, IPLength: 4, Operation: arp.OperationReply,
			SenderHardwareAddr: node, SenderIP: one, TargetHardwareAddr: asker, TargetIP: netip.MustParseAddr("10.0.0.9"),
		}
		if diff := cmp.Diff(want, p, equate); diff != "" || !bytes.Equal(frame[:6], asker) {
			t.Errorf("to % x: %s", frame[:6], diff)
		}
		return
	}
	m, dst, _ := ndpOf[*ndp.NeighborAdvertisement](frame)
	want := &ndp.NeighborAdvertisement{
		Router: true, Override: true, Solicited: !dst.IsMulticast(), TargetAddress: oneV6,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: node}},
	}
	if diff := cmp.Diff(want, m, equate); diff != "" || frame[0]&1 == 0 && !bytes.Equal(frame[:6], asker) {
		t.Errorf("to % x: %s", frame[:6], diff)
	}
}

func TestTakeoverRewritesStaleNeighbours(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	for _, x := range []netip.Addr{one, oneV6} {
		neighbour.setNeigh("eth0", x, macB, unix.NUD_STALE)
	}
	realApply(t, a, "192.0.2.101", "2001:db8::101")
	for _, x := range []netip.Addr{one, oneV6} {
		neighbour.eventually(x.String()+" rewritten", func() bool {
			mac, _ := neighbour.neigh("eth0", x)
			return bytes.Equal(mac, node.MAC("eth0"))
		})
	}
}

func TestEachGratuitousFormAndCount(t *testing.T) {
	node, neighbour := pair(t)
	mac, wire := node.MAC("eth0"), neighbour.tap("eth0")
	a := node.announce()
	realApply(t, a, "192.0.2.101", "2001:db8::101")
	both := speaks(mac, one, oneV6)
	var forms []string
	for _, f := range wire.until("two forms of ARP and an advertisement, three times", both, counted(9, both)) {
		if f[0]&1 == 0 {
			t.Error("announced to one host only")
		}
		p, ok := arpOf(f)
		switch {
		case !ok:
			forms = append(forms, "na")
		case p.Operation == arp.OperationRequest:
			forms = append(forms, "request")
		default:
			forms = append(forms, "reply")
		}
	}
	slices.Sort(forms)
	if diff := cmp.Diff([]string{"na", "na", "na", "reply", "reply", "reply", "request", "request", "request"}, forms); diff != "" {
		t.Error(diff)
	}

	// Passes that change nothing send nothing. The owner is done with what one pass asked for before it takes the next, and
	// frames keep their order on the cable.
	for range 3 {
		realApply(t, a, "192.0.2.101", "2001:db8::101")
	}
	wire.send(wire.solicits(oneV6, nil))
	got := wire.until("answer", both, func(f []byte) bool { return both(f) && f[0]&1 == 0 })
	if len(got) != 1 {
		t.Errorf("%d frames sent by passes that changed nothing", len(got)-1)
	}
}

func TestRemovedAddressIsSilent(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	realApply(t, a, "192.0.2.101", "192.0.2.102", "2001:db8::101", "2001:db8::102")
	twoV6, mac, wire := netip.MustParseAddr("2001:db8::102"), node.MAC("eth0"), neighbour.tap("eth0")
	neighbour.resolves(one, mac)
	realApply(t, a, "192.0.2.102", "2001:db8::102")
	wire.send(wire.asks(two, mac)) // what comes before its answer was sent while the address was still there
	wire.next("answer", func(f []byte) bool { return f[0]&1 == 0 && speaks(mac, two)(f) })
	wire.send(wire.asks(one, ethernet.Broadcast))
	wire.send(wire.asks(two, mac))
	wire.send(wire.solicits(oneV6, nil))
	wire.send(wire.solicits(twoV6, nil))
	answered := map[byte]bool{}
	wire.until("answers for the other two", nothing, func(f []byte) bool {
		if f[0]&1 == 0 && speaks(mac, two, twoV6)(f) {
			answered[f[12]] = true
		}
		if f[0]&1 == 0 && speaks(mac, one, oneV6)(f) {
			t.Error("a removed address was answered")
		}
		return len(answered) == 2
	})
}

// TestReachabilityProbes: a neighbour that has the address confirms it by unicast alone, which a raw ICMPv6 socket would
// never see.
func TestReachabilityProbes(t *testing.T) {
	node, neighbour := pair(t)
	realApply(t, node.announce(), "2001:db8::101")
	mac := node.MAC("eth0")
	neighbour.resolves(oneV6, mac)
	neighbour.Sysctl("ipv6/neigh/eth0/delay_first_probe_time", "0")
	wire := node.tap("eth0")
	neighbour.setNeigh("eth0", oneV6, mac, unix.NUD_STALE)
	neighbour.resolves(oneV6, mac)
	solicits := func(f []byte) bool {
		m, _, ok := ndpOf[*ndp.NeighborSolicitation](f)
		return ok && m.TargetAddress == oneV6
	}
	answers := func(f []byte) bool {
		m, _, ok := ndpOf[*ndp.NeighborAdvertisement](f)
		return ok && m.TargetAddress == oneV6 && m.Solicited
	}
	got := wire.until("probe and its answer", solicits, answers)
	if len(got) == 0 {
		t.Error("no probe was seen")
	}
	for _, f := range got {
		if !bytes.Equal(f[:6], mac) {
			t.Errorf("a solicitation went to % x", f[:6])
		}
	}
}

// TestDuplicateAddressIsRefused: a neighbour that gives itself an address of ours notices.
func TestDuplicateAddressIsRefused(t *testing.T) {
	node, neighbour := pair(t)
	realApply(t, node.announce(), "2001:db8::101")
	neighbour.Sysctl("ipv6/conf/eth0/accept_dad", "1")
	x, err := netlink.ParseAddr("2001:db8::101/64")
	neighbour.Must(err)
	neighbour.Must(neighbour.Netlink.AddrAdd(neighbour.Link("eth0"), x))
	neighbour.eventually("duplicate found", func() bool {
		list, err := dump(func() ([]netlink.Addr, error) {
			return neighbour.Netlink.AddrList(neighbour.Link("eth0"), netlink.FAMILY_V6)
		})
		neighbour.Must(err)
		return slices.ContainsFunc(list, func(a netlink.Addr) bool {
			return a.IP.Equal(x.IP) && a.Flags&unix.IFA_F_DADFAILED != 0
		})
	})
}

func TestLinkFlapIsAnnouncedAgain(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	realApply(t, a, "192.0.2.101", "2001:db8::101")
	mac := node.MAC("eth0")
	neighbour.resolves(one, mac)
	for name, end := range map[string]*host{"the node's end": node, "the other end: carrier lost": neighbour} {
		t.Run(name, func(t *testing.T) {
			end.Down("eth0")
			waitRunning(t, a, "192.0.2.101", Running{Problems: map[netip.Addr]Problem{one: ProblemLinkDown}})
			end.Up("eth0")
			wire := neighbour.tap("eth0")
			waitRunning(t, a, "192.0.2.101", Running{Addresses: map[netip.Addr][]string{one: {"eth0"}}})
			wire.next("announcement", func(f []byte) bool { return speaks(mac, one)(f) && f[0]&1 == 1 })
			neighbour.resolves(one, mac)
		})
	}
}

// waitRunning applies one address whenever something has changed, as a speaker would, until that runs as wanted.
func waitRunning(t *testing.T, a *Announcer, x string, want Running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		diff := cmp.Diff(want, realApply(t, a, x), equate)
		if diff == "" {
			return
		}
		select {
		case <-a.Changed():
		case <-ctx.Done():
			t.Fatal("never came to run: ", diff)
		}
	}
}

func TestInterfaceVanishesAndAnotherAppears(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	waitRunning(t, a, "192.0.2.101", Running{Addresses: map[netip.Addr][]string{one: {"eth0"}}})
	node.Must(node.Netlink.LinkDel(node.Link("eth0")))
	waitRunning(t, a, "192.0.2.101", Running{Problems: map[netip.Addr]Problem{one: ProblemNoInterface}})
	nettest.Cable(node.Host, "eth0", neighbour.Host, "eth0") // the same name, another index
	waitRunning(t, a, "192.0.2.101", Running{Problems: map[netip.Addr]Problem{one: ProblemNoIPv4}})
	node.Address("eth0", "192.0.2.2/24")
	neighbour.Address("eth0", "192.0.2.9/24")
	waitRunning(t, a, "192.0.2.101", Running{Addresses: map[netip.Addr][]string{one: {"eth0"}}})
	neighbour.resolves(one, node.MAC("eth0"))
	node.eventually("the whole interface known", func() bool {
		got := a.Interfaces()
		return len(got) == 1 && got[0].Up && bytes.Equal(got[0].MAC, node.MAC("eth0")) && got[0].LinkLocal.IsValid()
	})
}

func TestHardwareAddressIsFollowed(t *testing.T) {
	node, neighbour := pair(t)
	a := node.announce()
	realApply(t, a, "192.0.2.101", "2001:db8::101")
	neighbour.resolves(one, node.MAC("eth0"))
	neighbour.resolves(oneV6, node.MAC("eth0"))
	node.Must(node.Netlink.LinkSetHardwareAddr(node.Link("eth0"), macA))
	for _, x := range []netip.Addr{one, oneV6} { // the neighbour asks nothing: it is told
		neighbour.eventually(x.String()+" told", func() bool {
			mac, _ := neighbour.neigh("eth0", x)
			return bytes.Equal(mac, macA)
		})
	}
	neighbour.setNeigh("eth0", one, nil, unix.NUD_NONE)
	neighbour.resolves(one, macA)
}

// TestMastersSpeakForTheirPorts: a bridge that the node's NIC is a port of, and a macvlan on another NIC.
func TestMastersSpeakForTheirPorts(t *testing.T) {
	node, neighbour := newHost(t), newHost(t)
	nettest.Cable(node.Host, "port0", neighbour.Host, "eth0")
	node.Bridge("br0", "port0")
	node.Address("br0", "192.0.2.2/24")
	neighbour.Address("eth0", "192.0.2.9/24", "2001:db8::9/64")

	second := newHost(t)
	nettest.Cable(node.Host, "lower0", second.Host, "eth0")
	mv := nettest.Named("mv0")
	mv.ParentIndex = node.Link("lower0").Attrs().Index
	node.Must(node.Netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: mv, Mode: netlink.MACVLAN_MODE_BRIDGE}))
	node.Up("mv0")
	node.Address("mv0", "192.0.2.3/24")
	second.Address("eth0", "192.0.2.9/24", "2001:db8::9/64")

	for _, x := range []string{"br0", "mv0"} {
		node.settles(x)
	}
	neighbour.settles("eth0")
	second.settles("eth0")
	a := node.announce()
	waitRunning(t, a, "192.0.2.101", Running{Addresses: map[netip.Addr][]string{one: {"br0", "mv0"}}}) // lower0 has no IPv4 address
	d := Desired{Entries: map[netip.Addr]Entry{one: {}, oneV6: {Interfaces: []string{"br0", "mv0"}}}}
	if _, err := a.Apply(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	for n, mac := range map[*host]net.HardwareAddr{neighbour: node.MAC("br0"), second: node.MAC("mv0")} {
		n.resolves(one, mac)
		n.resolves(oneV6, mac)
	}
}

// TestManyIPv6Addresses: far more groups than one socket holds, and more addresses than the filter tells apart.
func TestManyIPv6Addresses(t *testing.T) {
	const n = 5000
	node, neighbour := pair(t)
	a := node.announce()
	d := Desired{Entries: map[netip.Addr]Entry{}}
	for i := range uint32(n) {
		d.Entries[v6(0x10000+7*i)] = Entry{}
	}
	r, err := a.Apply(context.Background(), d)
	if err != nil || len(r.Addresses) != n || len(r.Problems) != 0 {
		t.Fatalf("%d addresses run, %d have problems, error %v", len(r.Addresses), len(r.Problems), err)
	}
	for i := uint32(0); i < n; i += n / 10 {
		neighbour.resolves(v6(0x10000+7*i), node.MAC("eth0"))
	}
	if got := node.memberships(t); got < n {
		t.Errorf("%d group memberships, want at least %d", got, n)
	}
	realApply(t, a)
	if got := node.memberships(t); got > 20 {
		t.Errorf("%d group memberships left", got)
	}
}
