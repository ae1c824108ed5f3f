package l2

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Interface is one network interface on which addresses can be announced.
type Interface struct {
	Name  string
	Index int
	// MAC is the hardware address that answers name.
	MAC net.HardwareAddr
	// Prefixes are the interface's own addresses with the length of their subnets, sorted; tentative ones are left out.
	Prefixes []netip.Prefix
	// LinkLocal is the IPv6 link-local address that advertisements are sent from; invalid when there is none.
	LinkLocal netip.Addr
	// Up means administratively up and with a carrier (RFC 2863 oper state up or unknown).
	Up bool
}

func (i Interface) equal(j Interface) bool {
	return i.Name == j.Name && i.Index == j.Index && bytes.Equal(i.MAC, j.MAC) &&
		slices.Equal(i.Prefixes, j.Prefixes) && i.LinkLocal == j.LinkLocal && i.Up == j.Up
}

func (i Interface) clone() Interface {
	i.MAC, i.Prefixes = slices.Clone(i.MAC), slices.Clone(i.Prefixes)
	return i
}

// HasIPv4 reports whether the interface has an IPv4 address of its own: without one it is no part of any IPv4 network,
// and the ARP codec refuses it.
func (i Interface) HasIPv4() bool {
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() })
}

// carries reports whether p can be spoken on the interface, and if not, why.
func (i Interface) carries(p protocol) (Problem, bool) {
	switch {
	case !i.Up:
		return ProblemLinkDown, false
	case p == protocolARP && !i.HasIPv4():
		return ProblemNoIPv4, false
	case p == protocolNDP && !i.LinkLocal.IsValid():
		return ProblemNoLinkLocal, false
	}
	return "", true
}

// same reports whether a socket for p that was opened on i is still right for j.
func (i Interface) same(j Interface, p protocol) bool {
	return i.Index == j.Index && i.Name == j.Name && bytes.Equal(i.MAC, j.MAC) &&
		(p == protocolARP || i.LinkLocal == j.LinkLocal)
}

func (i Interface) netInterface() *net.Interface {
	return &net.Interface{Index: i.Index, Name: i.Name, HardwareAddr: i.MAC, MTU: 1500}
}

// link is what eligible needs to know about an interface besides the Interface itself.
type link struct {
	Interface
	loopback, ethernet bool
	// master is the kind of the device that the interface is enslaved to ("bridge", "bond", "vrf", …); empty if none.
	master string
}

// eligible decides from the link's facts and its name, never from its kind: a node's own NIC may well be a veth, and the
// bridges, bonds, VLANs and macvlans of a node are as good as its hardware. A port of a bridge, bond or team is left out
// because its master hears and speaks for it; a member of a VRF keeps its own neighbours.
func eligible(l link, exclude []string) bool {
	if l.loopback || !l.ethernet || len(l.MAC) != 6 || (l.master != "" && l.master != "vrf") {
		return false
	}
	return !slices.ContainsFunc(exclude, func(glob string) bool {
		ok, _ := path.Match(glob, l.Name) // New has checked the pattern
		return ok
	})
}

// DefaultExclude returns the name globs (path.Match) of interfaces that lead to pods, containers or tunnels rather than to
// the node's network. Docker's user networks are matched by their twelve hex digits, so that a br-lan stays eligible.
func DefaultExclude() []string {
	return []string{
		"veth*", "cali*", "lxc*", "azv*", "eni[0-9a-f]*", "gke*", "nodelocaldns", // host ends of pods, node-local resolvers
		"cilium*", "flannel*", "cni*", "weave*", "vethwe*", "antrea-*", "ovs-system", "ovn-*", "kube-bridge", // CNI bridges and switches
		"docker*", "podman*", "nerdctl*", "br-" + strings.Repeat("[0-9a-f]", 12), // container engines
		"kube-ipvs*", "kube-dummy-if", "dummy*", "ifb*", // hold addresses or queues, reach nobody
		"vxlan*", "geneve*", "genev_sys_*", "gretap*", "erspan*", "wg*", "tun*", "tap*", "tailscale*", // overlays, VPNs, VMs' taps
	}
}

func checkGlobs(globs []string) error {
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("parsing interface glob %q: %w", g, err)
		}
	}
	return nil
}
