package l2

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// system is what the announcer needs of its node. All of it is called by Run's goroutine only: sockets belong to the
// network namespace of the thread that opens them.
type system interface {
	// scan lists the eligible interfaces, sorted by name.
	scan() ([]Interface, error)
	// watch opens a source of wake-ups.
	watch() (watcher, error)
	// open opens a socket that hears nothing yet.
	open(Interface, protocol) (wire, error)
	close()
}

// watcher tells that interfaces or addresses may have changed.
type watcher interface {
	// next blocks until there is something to look at. An error ends the watcher: changes may have been missed.
	next() error
	// Close unblocks next.
	Close()
}

// kernel is the real system.
type kernel struct {
	handle  *netlink.Handle
	exclude []string
}

func newKernel(exclude []string) (system, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink socket: %w", err)
	}
	return &kernel{handle: h, exclude: exclude}, nil
}

func (k *kernel) close() { k.handle.Close() }

func (k *kernel) open(i Interface, p protocol) (wire, error) {
	if p == protocolARP {
		return openARP(i)
	}
	return openNDP(i)
}

func (k *kernel) scan() ([]Interface, error) {
	links, err := dump(func() ([]netlink.Link, error) { return k.handle.LinkList() })
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	return interfaces(links, addrs, k.exclude), nil
}

// dump repeats a listing that the kernel says it has changed under our hands.
func dump[T any](list func() ([]T, error)) (out []T, err error) {
	for range 5 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}

func interfaces(links []netlink.Link, addrs []netlink.Addr, exclude []string) []Interface {
	kinds := map[int]string{}
	for _, l := range links {
		kinds[l.Attrs().Index] = l.Type()
	}
	found := map[int]*Interface{}
	for _, l := range links {
		if f := facts(l, kinds); eligible(f, exclude) {
			found[f.Index] = &f.Interface
		}
	}
	for _, a := range addrs {
		if i := found[a.LinkIndex]; i != nil {
			i.learn(a)
		}
	}
	out := make([]Interface, 0, len(found))
	for _, i := range found {
		slices.SortFunc(i.Prefixes, comparePrefixes)
		i.LinkLocal = linkLocal(i.Prefixes)
		out = append(out, *i)
	}
	slices.SortFunc(out, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func facts(l netlink.Link, kinds map[int]string) link {
	a := l.Attrs()
	return link{
		Interface: Interface{
			Name:  a.Name,
			Index: a.Index,
			MAC:   a.HardwareAddr,
			Up:    a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		},
		loopback: a.Flags&net.FlagLoopback != 0,
		ethernet: a.EncapType == "ether",
		master:   kinds[a.MasterIndex],
	}
}

// learn adds an address to the interface. A tentative one may still turn out to be somebody else's and must not be sent
// from (RFC 4862 §5.4); the kernel tells when it has become usable.
func (i *Interface) learn(a netlink.Addr) {
	if a.IPNet == nil || (a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0) {
		return
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return
	}
	bits, _ := a.Mask.Size()
	i.Prefixes = append(i.Prefixes, netip.PrefixFrom(ip.Unmap(), bits))
}

func linkLocal(prefixes []netip.Prefix) netip.Addr {
	for _, p := range prefixes {
		if a := p.Addr(); a.Is6() && a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func (k *kernel) watch() (watcher, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribing to interface changes: %w", err)
	}
	return subscription{s}, nil
}

// subscription does not parse the messages: the owner looks at everything anew, so none of them can be misunderstood.
type subscription struct{ *nl.NetlinkSocket }

func (s subscription) next() error {
	_, _, err := s.Receive()
	return err
}
