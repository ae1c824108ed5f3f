package l2

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestEligible(t *testing.T) {
	eth := func(name, master string) link {
		return link{Interface: Interface{Name: name, MAC: macA}, ethernet: true, master: master}
	}
	tests := []struct {
		link link
		want bool
	}{
		{eth("eth0", ""), true},
		{eth("eth0", "bond"), false},
		{eth("eth0", "bridge"), false},
		{eth("eth0", "team"), false},
		{eth("eth0", "vrf"), true},
		{eth("bond0", ""), true},
		{eth("eth0.100", ""), true},
		{eth("macvlan0", ""), true},
		{eth("br0", ""), true},
		{eth("br-lan", ""), true},
		{eth("br-0123456789ab", ""), false},
		{eth("docker0", ""), false},
		{eth("veth12ab", ""), false},
		{eth("cali0a1b2c", ""), false},
		{eth("cilium_host", ""), false},
		{eth("lxc12ab", ""), false},
		{eth("flannel.1", ""), false},
		{eth("cni0", ""), false},
		{eth("kube-ipvs0", ""), false},
		{eth("nodelocaldns", ""), false},
		{eth("vxlan.calico", ""), false},
		{eth("eni0a1b2c", ""), false},
		{eth("eno1", ""), true},
		{eth("enp3s0", ""), true},
		{eth("wlan0", ""), true},
		{link{Interface: Interface{Name: "lo", MAC: macA}, loopback: true, ethernet: true}, false},
		{link{Interface: Interface{Name: "sit0", MAC: net.HardwareAddr{0, 0, 0, 0}}}, false},
		{link{Interface: Interface{Name: "ib0", MAC: make(net.HardwareAddr, 20)}}, false},
	}
	for _, tt := range tests {
		if got := eligible(tt.link, DefaultExclude()); got != tt.want {
			t.Errorf("%s, master %q: eligible %v, want %v", tt.link.Name, tt.link.master, got, tt.want)
		}
	}
	if !eligible(eth("veth0", ""), nil) {
		t.Error("the kind of a device must not matter")
	}
}

func TestInterfacesFromTheKernelsLists(t *testing.T) {
	attrs := func(name string, index, master int, flags uint32) netlink.LinkAttrs {
		return netlink.LinkAttrs{Name: name, Index: index, MasterIndex: master, HardwareAddr: macA, EncapType: "ether", RawFlags: flags}
	}
	const up = unix.IFF_UP | unix.IFF_RUNNING
	links := []netlink.Link{
		&netlink.Vlan{LinkAttrs: attrs("eth1.5", 9, 0, unix.IFF_UP)}, // no carrier
		&netlink.Bond{LinkAttrs: attrs("bond0", 3, 0, up)},
		&netlink.Device{LinkAttrs: attrs("eth0", 2, 3, up)},
		&netlink.Veth{LinkAttrs: attrs("veth1", 4, 0, up)},
	}
	addr := func(index int, cidr string, flags int) netlink.Addr {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			t.Fatal(err)
		}
		a.LinkIndex, a.Flags = index, flags
		return *a
	}
	list := []netlink.Addr{
		addr(3, "fe80::1/64", 0), addr(3, "10.0.0.2/24", 0), addr(3, "2001:db8::2/64", unix.IFA_F_TENTATIVE),
		addr(3, "10.0.0.1/24", unix.IFA_F_PERMANENT), addr(9, "fe80::9/64", unix.IFA_F_TENTATIVE), addr(4, "10.1.0.1/24", 0),
		addr(9, "2001:db8::9/64", unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC), addr(77, "10.2.0.1/24", 0),
	}
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	want := []Interface{
		{Name: "bond0", Index: 3, MAC: macA, Up: true, LinkLocal: netip.MustParseAddr("fe80::1"), Prefixes: prefixes("10.0.0.1/24", "10.0.0.2/24", "fe80::1/64")},
		{Name: "eth1.5", Index: 9, MAC: macA, Prefixes: prefixes("2001:db8::9/64")},
	}
	got := interfaces(links, list, DefaultExclude())
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{Exclude: []string{"["}}); err == nil {
		t.Error("a malformed glob was taken")
	}
	r := prometheus.NewRegistry()
	if _, err := New(Options{Registerer: r}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Registerer: r}); err == nil {
		t.Error("metrics were registered twice")
	}
}
