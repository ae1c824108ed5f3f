//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	netnsDir = "/run/netns"
	bridge   = "br0"
	uplink   = "eth0"
	rootPeer = "root0"
)

// hostAddr is a host on the LAN.
type hostAddr struct {
	name string
	last int // byte of its addresses
}

// lanHosts lists the hosts that a LAN cable leads to.
func (r record) lanHosts() []hostAddr {
	hosts := []hostAddr{{"cp", controlByte}}
	for n := 1; n <= r.Nodes; n++ {
		hosts = append(hosts, hostAddr{nodeName(n), nodeByteBase + n})
	}
	for i := 1; i <= r.Clients; i++ {
		hosts = append(hosts, hostAddr{clientName(i), clientByteBase + i})
	}
	for i := 1; i <= r.Routers; i++ {
		hosts = append(hosts, hostAddr{routerName(i), routerByteBase + i})
	}
	return hosts
}

func (r record) plan() plan { return plan{name: r.Name, index: r.Index} }

// namespaces lists the lab's network namespaces.
func (r record) namespaces() []string {
	all := []string{r.plan().netns("lan")}
	for _, h := range r.lanHosts() {
		all = append(all, r.plan().netns(h.name))
	}
	return all
}

// buildNetwork makes the LAN and everybody on it, and the way from the machine's root namespace to the control plane.
func buildNetwork(r record) error {
	p := r.plan()
	lan, err := addNamespace(p.netns("lan"))
	if err != nil {
		return err
	}
	defer lan.Close()
	if err := addBridge(lan, p); err != nil {
		return fmt.Errorf("making the LAN: %w", err)
	}
	for _, h := range r.lanHosts() {
		if err := addHost(lan, r, h); err != nil {
			return fmt.Errorf("attaching %s to the LAN: %w", h.name, err)
		}
	}
	if err := addRootLink(p); err != nil {
		return fmt.Errorf("linking the root namespace to the control plane: %w", err)
	}
	return nil
}

// addNamespace makes a named network namespace with its loopback up and duplicate address detection off: the addresses of a
// lab are unique by construction, and must be there at once.
func addNamespace(name string) (netns.NsHandle, error) {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	defer before.Close()
	ns, err := netns.NewNamed(name)
	if err == nil {
		err = writeSysctls(map[string]string{
			"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0",
			"ipv6/conf/default/accept_ra": "0", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
		})
	}
	if netns.Set(before) == nil {
		runtime.UnlockOSThread() // else the thread stays locked and ends with its goroutine
	}
	if err != nil {
		return -1, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	return ns, withHandle(ns, func(nl *netlink.Handle) error { return setUp(nl, "lo") })
}

func addBridge(lan netns.NsHandle, p plan) error {
	return withHandle(lan, func(nl *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = bridge
		if err := nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		return addAddresses(nl, bridge, lanAddresses(p, gatewayByte)...)
	})
}

// addHost makes the host's namespace, plugs its cable into the bridge and gives it addresses and routes.
func addHost(lan netns.NsHandle, r record, h hostAddr) error {
	p := r.plan()
	ns, err := addNamespace(p.netns(h.name))
	if err != nil {
		return err
	}
	defer ns.Close()
	err = withHandle(ns, func(nl *netlink.Handle) error {
		if err := addVeth(nl, uplink, portName(h.name), lan); err != nil {
			return err
		}
		return addAddresses(nl, uplink, lanAddresses(p, h.last)...)
	})
	if err != nil {
		return err
	}
	if err := withHandle(lan, func(nl *netlink.Handle) error { return plugIn(nl, portName(h.name), bridge) }); err != nil {
		return err
	}
	// A router forwards, and so does a node, as Kubernetes asks of one: the CNI plugin sees to it with the first pod only.
	if h.last > routerByteBase || h.last > nodeByteBase && h.last < clientByteBase {
		if err := (&Host{name: h.name, ns: p.netns(h.name)}).Do(forwarding); err != nil {
			return err
		}
	}
	return withHandle(ns, func(nl *netlink.Handle) error { return addRoutes(nl, r, h) })
}

// plugIn connects a port to one of the switch's bridges.
func plugIn(nl *netlink.Handle, port, to string) error {
	link, err := nl.LinkByName(port)
	if err != nil {
		return err
	}
	return errors.Join(setMaster(nl, link, to), nl.LinkSetUp(link))
}

func setMaster(nl *netlink.Handle, port netlink.Link, to string) error {
	br, err := nl.LinkByName(to)
	if err != nil {
		return err
	}
	return nl.LinkSetMaster(port, br)
}

// addRoutes gives a host the pods' networks behind the nodes (not to clients and routers: from outside, pods are reached through Services
// only) and a default route, which the kubelet and kube-proxy look for.
func addRoutes(nl *netlink.Handle, r record, h hostAddr) error {
	p := r.plan()
	eth, err := nl.LinkByName(uplink)
	if err != nil {
		return err
	}
	add := func(dst netip.Prefix, gw netip.Addr) error {
		return nl.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: ipNet(dst), Gw: gw.AsSlice()})
	}
	if err := add(netip.MustParsePrefix("0.0.0.0/0"), p.addr4(gatewayByte)); err != nil {
		return err
	}
	if err := add(netip.MustParsePrefix("::/0"), p.addr6(gatewayByte)); err != nil {
		return err
	}
	if h.last > clientByteBase {
		return nil
	}
	for n := 1; n <= r.Nodes; n++ {
		if h.name == nodeName(n) {
			continue
		}
		err := errors.Join(add(podCIDR4(n), p.addr4(nodeByteBase+n)), add(podCIDR6(n), p.addr6(nodeByteBase+n)))
		if err != nil {
			return err
		}
	}
	return nil
}

// addRootLink is why kubectl, helm and tests need not enter a namespace: a cable that ends in the machine's own.
func addRootLink(p plan) error {
	cp, err := netns.GetFromName(p.netns("cp"))
	if err != nil {
		return err
	}
	defer cp.Close()
	nl, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer nl.Close()
	if err := addVeth(nl, p.prefix(), rootPeer, cp); err != nil {
		return err
	}
	bits := p.rootLink().Bits()
	if err := addAddresses(nl, p.prefix(), netip.PrefixFrom(p.rootAddr(), bits)); err != nil {
		return err
	}
	return withHandle(cp, func(nl *netlink.Handle) error {
		return addAddresses(nl, rootPeer, netip.PrefixFrom(p.apiAddr(), bits))
	})
}

// rootLinkFree says whether the machine uses the addresses of the lab's root link for something else.
func rootLinkFree(p plan) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if used, err := netip.ParsePrefix(a.String()); err == nil && used.Overlaps(p.rootLink()) {
			return false
		}
	}
	return true
}

// setPort plugs a host's cable in or out, at the bridge's end: the host sees its carrier go.
func setPort(p plan, host string, up bool) error {
	lan, err := netns.GetFromName(p.netns("lan"))
	if err != nil {
		return fmt.Errorf("entering the LAN of lab %s: %w", p.name, err)
	}
	defer lan.Close()
	return withHandle(lan, func(nl *netlink.Handle) error {
		link, err := nl.LinkByName(portName(host))
		if err != nil {
			return fmt.Errorf("finding the cable of %s: %w", host, err)
		}
		if up {
			return nl.LinkSetUp(link)
		}
		return nl.LinkSetDown(link)
	})
}

// forgetTraffic removes what a machine without power forgets: the pods' bridge and the connections it tracked.
func forgetTraffic(p plan, host string) error {
	ns, err := netns.GetFromName(p.netns(host))
	if err != nil {
		return err
	}
	defer ns.Close()
	return withHandle(ns, func(nl *netlink.Handle) error {
		if link, err := nl.LinkByName("cni0"); err == nil {
			if err := nl.LinkDel(link); err != nil {
				return fmt.Errorf("removing the pod bridge of %s: %w", host, err)
			}
		}
		if err := nl.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
			return fmt.Errorf("flushing the connections of %s: %w", host, err)
		}
		return nil
	})
}

// removeNetwork takes away the root link and the namespaces; the other links end with these.
func removeNetwork(r record) error {
	var errs []error
	if link, err := netlink.LinkByName(r.plan().prefix()); err == nil && link.Type() == "veth" {
		errs = append(errs, netlink.LinkDel(link))
	}
	for _, name := range r.namespaces() {
		path := filepath.Join(netnsDir, name)
		if !exists(path) {
			continue
		}
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", path, err))
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

func withHandle(ns netns.NsHandle, fn func(*netlink.Handle) error) error {
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer nl.Close()
	return fn(nl)
}

func addVeth(nl *netlink.Handle, name, peer string, peerNS netns.NsHandle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(peerNS)})
}

func lanAddresses(p plan, last int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(p.addr4(last), p.lan4().Bits()),
		netip.PrefixFrom(p.addr6(last), p.lan6().Bits()),
	}
}

// addAddresses brings the link up and gives it the addresses.
func addAddresses(nl *netlink.Handle, name string, addrs ...netip.Prefix) error {
	if err := setUp(nl, name); err != nil {
		return err
	}
	link, err := nl.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("adding %s to %s: %w", a, name, err)
		}
	}
	return nil
}

func setUp(nl *netlink.Handle, name string) error {
	link, err := nl.LinkByName(name)
	if err != nil {
		return err
	}
	return nl.LinkSetUp(link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// writeSysctls sets network sysctls of the namespace in which the calling thread is.
func writeSysctls(values map[string]string) error {
	for name, value := range values {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}
