package spec

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
	"time"
)

// On returns how this node speaks to the router. The Problem is about the peer on this node alone: others may do well.
func (p Peer) On(n Node) (Session, *Problem) {
	s := p.session
	my, err1 := p.from.myASN.asn(n, p.myASN)
	local, err2 := p.from.localASN.asn(n, p.localASN)
	peer, err3 := p.from.peerASN.asn(n, s.PeerASN)
	address, err4 := p.from.peerAddress.address(n, s.Address)
	source, err5 := p.from.sourceAddress.address(n, s.SourceAddress)
	if err := cmp.Or(err1, err2, err3, err4, err5); err != nil {
		return Session{}, peerProblem(p.Name, ReasonNodeValue, err.Error())
	}
	if s.LocalASN = my; local != 0 {
		s.LocalASN = local
	}
	s.PeerASN, s.Address, s.SourceAddress = peer, address, source
	return s.complete(p.Name, n)
}

// complete fills in what depends on the node, and checks what only shows there.
func (s Session) complete(peer string, n Node) (Session, *Problem) {
	if s.Address.IsValid() && s.Interface != "" {
		if !s.Address.IsLinkLocalUnicast() {
			return Session{}, peerProblem(peer, ReasonContradiction, fmt.Sprintf(
				"node %s: interface %s goes with a link-local address, which %s is not", n.Name, s.Interface, s.Address))
		}
		if s.Address.Is4() { // it has no zone
			s.SourceInterface = cmp.Or(s.SourceInterface, s.Interface)
		}
		s.Address, s.Interface = s.Address.WithZone(s.Interface), ""
	}
	if !s.RouterID.IsValid() {
		s.RouterID = RouterID(n)
	}
	s = s.withFamilies()
	if s.Listen && !s.SourceAddress.IsValid() {
		s.SourceAddress = n.internal(s.listenFamily())
	}
	if err := s.check(n); err != nil {
		return Session{}, peerProblem(peer, ReasonContradiction, err.Error())
	}
	return s, nil
}

func (s Session) listenFamily() Family {
	if s.Gateway {
		return s.GatewayFamilies()[0]
	}
	return FamilyOf(s.Address)
}

func (s Session) check(n Node) error {
	a := s.Address
	switch {
	case a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "":
		return fmt.Errorf("node %s: link-local address %s needs spec.interface", n.Name, a)
	case a.IsValid() && s.SourceAddress.IsValid() && a.Is4() != s.SourceAddress.Is4():
		return fmt.Errorf("node %s: source address %s is of another family than %s", n.Name, s.SourceAddress, a)
	case s.Listen && !s.SourceAddress.IsValid():
		return fmt.Errorf("node %s: it has no InternalIP of %s to listen on: set spec.sourceAddress", n.Name, s.listenFamily())
	case s.TTL > 1 && s.IBGP():
		return fmt.Errorf("node %s: spec.ebgpMultiHop is for routers of another AS, and this one is of AS %d: leave it out", n.Name, s.LocalASN)
	}
	return nil
}

// RouterID is this node's BGP identifier where none is set: its first IPv4 InternalIP, which is stable and unique; on nodes
// without one, a number made from its name, in 240.0.0.0/4, where it looks like no host's address.
func RouterID(n Node) netip.Addr {
	if a := n.internal(IPv4); a.IsValid() {
		return a
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(n.Name))
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], h.Sum32()|0xf0000000)
	return netip.AddrFrom4(b)
}

// asn returns the node's own ASN, or the one that holds everywhere where no key is set.
func (k nodeKey) asn(n Node, everywhere uint32) (uint32, error) {
	if k.key == "" {
		return everywhere, nil
	}
	v, err := k.of(n)
	if err != nil {
		return 0, err
	}
	asn, err := strconv.ParseUint(v, 10, 32)
	if err != nil || asn == 0 {
		return 0, fmt.Errorf("node %s: %s is %q, which is no ASN: it is a number from 1 to 4294967295", n.Name, k, v)
	}
	return uint32(asn), nil
}

// address is the same for an address.
func (k nodeKey) address(n Node, everywhere netip.Addr) (netip.Addr, error) {
	if k.key == "" {
		return everywhere, nil
	}
	v, err := k.of(n)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(v)
	if err == nil {
		err = checkHost(a.Unmap())
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("node %s: %s is %q, which is no host's address", n.Name, k, v)
	}
	return a.Unmap(), nil
}

// of returns the value that the node has.
func (k nodeKey) of(n Node) (string, error) {
	from := map[string]string(n.Labels)
	if k.annotation {
		from = n.Annotations
	}
	v, ok := from[k.key]
	if !ok {
		return "", fmt.Errorf("node %s has no %s", n.Name, k)
	}
	return v, nil
}

func (k nodeKey) String() string {
	if k.annotation {
		return "annotation " + k.key
	}
	return "label " + k.key
}

// checkHost tells whether an address can be one end of a connection.
func checkHost(a netip.Addr) error {
	if a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("%s is no host's address", a)
	}
	return nil
}

// Defaults of a session.
const (
	defaultPort    = 179
	defaultHold    = 90 * time.Second
	defaultConnect = 10 * time.Second
	defaultRestart = 30 * time.Second
	neighbourTTL   = 1
	multiHopTTL    = 255
)
