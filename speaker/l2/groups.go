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
	members map[netip.Addr]*membership // by group
}

type socket struct {
	joiner
	full bool
}

// membership is that of a group in which several addresses may share.
type membership struct {
	*socket
	addrs int
}

// change joins what the addresses that came need and leaves what those that went do not need any more.
func (g *groups) change(came, went []netip.Addr) error {
	if g.members == nil {
		g.members = map[netip.Addr]*membership{}
	}
	for _, a := range went {
		if err := g.leave(a); err != nil {
			return err
		}
	}
	for _, a := range came {
		group, err := ndp.SolicitedNodeMulticast(a)
		if err != nil {
			return fmt.Errorf("deriving group of %s: %w", a, err)
		}
		if err := g.join(group); err != nil {
			return fmt.Errorf("joining group %s: %w", group, err)
		}
	}
	return nil
}

func (g *groups) leave(a netip.Addr) error {
	group, err := ndp.SolicitedNodeMulticast(a)
	if err != nil {
		return fmt.Errorf("deriving group of %s: %w", a, err)
	}
	m := g.members[group]
	if m.addrs--; m.addrs > 0 {
		return nil
	}
	delete(g.members, group)
	m.full = false
	if err := m.LeaveGroup(group); err != nil {
		return fmt.Errorf("leaving group %s: %w", group, err)
	}
	return nil
}

func (g *groups) join(group netip.Addr) error {
	if m := g.members[group]; m != nil {
		m.addrs++
		return nil
	}
	for _, s := range g.sockets {
		if s.full {
			continue
		}
		err := s.JoinGroup(group)
		if err == nil {
			g.members[group] = &membership{s, 1}
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
	g.members[group] = &membership{s, 1}
	return nil
}

func (g *groups) close() {
	for _, s := range g.sockets {
		_ = s.Close()
	}
	g.sockets, g.members = nil, nil
}
