package bfd

import (
	"errors"
	"net/netip"
)

// Desired is the whole of which paths are to be watched. It replaces whatever was desired before.
type Desired struct {
	Sessions map[Path]Settings
}

// Path is what a session watches, and its name.
type Path struct {
	// Peer is the other end's unicast address; a link-local one may have its interface as its zone.
	Peer netip.Addr
	// Local is the address to send from and to be spoken to; the zero value leaves it to the routing table and takes any.
	Local netip.Addr
	// Interface binds a single-hop session to one; link-local peers need it, or a zone.
	Interface string
	// VRF is the name of the VRF device that the path is in; empty means none.
	VRF string
	// MultiHop: the peer may be several hops away (RFC 5883), otherwise it is on a link of ours (RFC 5881).
	MultiHop bool
}

// plain returns the path with zones moved to the interface and IPv4 in its own form.
func (p Path) plain() (Path, error) {
	p.Peer, p.Local = p.Peer.Unmap(), p.Local.Unmap()
	for _, a := range []*netip.Addr{&p.Peer, &p.Local} {
		zone := a.Zone()
		if zone != "" && p.Interface != "" && zone != p.Interface {
			return p, errors.New("the zone of an address is not the interface")
		}
		if zone != "" {
			p.Interface = zone
			*a = a.WithZone("")
		}
	}
	return p, p.validate()
}

// validate checks a plain path.
func (p Path) validate() error {
	switch {
	case !p.Peer.IsValid() || p.Peer.IsUnspecified() || p.Peer.IsMulticast():
		return errors.New("the peer's address is not a unicast one")
	case p.Local.IsValid() && (p.Local.Is4() != p.Peer.Is4() || p.Local.IsUnspecified() || p.Local.IsMulticast()):
		return errors.New("the local address is not a unicast one of the peer's family")
	case p.MultiHop && p.Interface != "":
		return errors.New("a path over several hops has no interface")
	case p.Peer.IsLinkLocalUnicast() && p.Peer.Is6() && p.Interface == "":
		return errors.New("a link-local peer needs an interface")
	}
	return nil
}

func (p Path) scope() Scope { return Scope{VRF: p.VRF, IPv6: p.Peer.Is6(), MultiHop: p.MultiHop} }

// Scope is what one receiving socket covers: a socket that is bound to no device does not hear what comes in through a VRF.
type Scope struct {
	VRF      string
	IPv6     bool
	MultiHop bool
}

// Port is the UDP port on which the scope's packets arrive.
func (s Scope) Port() uint16 {
	if s.MultiHop {
		return PortMultiHop
	}
	return PortSingleHop
}
