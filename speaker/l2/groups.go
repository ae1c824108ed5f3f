package l2

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// joiner is a socket that holds multicast memberships. The kernel reports them by MLD, so that snooping switches forward
// the groups and the network card lets them in.
type joiner interface {
	JoinGroup(netip.Addr) error
	LeaveGroup(netip.Addr) error
	Close() error
}

var _ joiner = (*ndp.Conn)(nil)

// openJoiner opens a socket that reads nothing. The unspecified address spares a lookup of the interface by its name.
func openJoiner(i Interface) (joiner, error) {
	c, _, err := ndp.Listen(i.netInterface(), ndp.Unspecified)
	if err != nil {
		return nil, fmt.Errorf("opening membership socket: %w", err)
	}
	var none ipv6.ICMPFilter
	none.SetAll(true)
	if err := c.SetICMPFilter(&none); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("closing filter of membership socket: %w", err)
	}
	return c, nil
}

// groups holds the solicited-node groups of all addresses on one interface. One socket's option memory holds a few hundred
// to some 2,300 memberships, so they are spread over as many sockets as it takes.
type groups struct {
	open    func() (joiner, error)
	sockets []*socket
	members map[netip.Addr]*socket // by group; several addresses may share one
}

type socket struct {
	joiner
	full bool
}

// set joins what addrs need and leaves what they do not.
func (g *groups) set(addrs []netip.Addr) error {
	wanted := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		group, err := ndp.SolicitedNodeMulticast(a)
		if err != nil {
			return fmt.Errorf("deriving group of %s: %w", a, err)
		}
		wanted[group] = true
	}
	if err := g.leaveAllBut(wanted); err != nil {
		return err
	}
	for group := range wanted {
		if err := g.join(group); err != nil {
			return fmt.Errorf("joining group %s: %w", group, err)
		}
	}
	return nil
}

func (g *groups) leaveAllBut(wanted map[netip.Addr]bool) error {
	for group, s := range g.members {
		if wanted[group] {
			continue
		}
		if err := s.LeaveGroup(group); err != nil {
			return fmt.Errorf("leaving group %s: %w", group, err)
		}
		delete(g.members, group)
		s.full = false
	}
	return nil
}

func (g *groups) join(group netip.Addr) error {
	if g.members[group] != nil {
		return nil
	}
	for _, s := range g.sockets {
		if s.full {
			continue
		}
		err := s.JoinGroup(group)
		if err == nil {
			g.members[group] = s
			return nil
		}
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		s.full = true
	}
	return g.joinOnNew(group)
}

func (g *groups) joinOnNew(group netip.Addr) error {
	j, err := g.open()
	if err != nil {
		return err
	}
	s := &socket{joiner: j}
	g.sockets = append(g.sockets, s)
	if err := s.JoinGroup(group); err != nil {
		return err
	}
	if g.members == nil {
		g.members = map[netip.Addr]*socket{}
	}
	g.members[group] = s
	return nil
}

func (g *groups) close() {
	for _, s := range g.sockets {
		_ = s.Close()
	}
	g.sockets, g.members = nil, nil
}
