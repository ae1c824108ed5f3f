package speaker

import (
	"cmp"
	"net/netip"

	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// engineSession puts a session into the engine's words.
func engineSession(s spec.Session, password string) bgp.Session {
	out := bgp.Session{
		LocalASN: s.LocalASN, PeerASN: s.PeerASN, RouterID: s.RouterID,
		Address: s.Address, Port: s.Port, Listen: s.Listen,
		SourceAddress: s.SourceAddress, SourceInterface: cmp.Or(s.SourceInterface, s.VRF),
		Password: password, SecurityHops: s.SecurityHops,
		HoldTime: s.HoldTime, KeepaliveTime: s.KeepaliveTime, ConnectTime: s.ConnectTime,
		NextHop4: s.NextHop4, NextHop6: s.NextHop6,
		GracefulRestart: s.GracefulRestart, RestartTime: s.RestartTime,
	}
	if s.PeerType == spec.Internal {
		out.PeerType = bgp.Internal
	}
	if !s.Address.IsValid() {
		out.Interface = s.Interface
	}
	if !s.IBGP() && s.SecurityHops == 0 { // those of our own AS may be any number of hops away
		out.TTL = s.TTL
	}
	if s.IPv4 {
		out.Families |= wire.IPv4
	}
	if s.IPv6 {
		out.Families |= wire.IPv6
	}
	return out
}

// discover fills in what only the kernel knows; false: there is no default gateway.
func discover(s spec.Session, kernel kernelRoutes) (spec.Session, bool) {
	if !s.Gateway {
		return s, true
	}
	for _, f := range s.GatewayFamilies() {
		if gateway, source, ok := kernel.Gateway(f); ok {
			if s.Listen && !s.SourceAddress.IsValid() {
				s.SourceAddress = source
			}
			return s.Discovered(gateway), true
		}
	}
	return s, false
}

// watchedPath is the path to the router, for BFD; false while the router's address is not known. Unnumbered, that is the
// one of the session.
func watchedPath(s spec.Session, remote netip.Addr, multiHop bool) (bfd.Path, bool) {
	p := bfd.Path{Peer: s.Address, Local: s.SourceAddress, VRF: s.VRF, MultiHop: multiHop}
	if !p.Peer.IsValid() {
		if !remote.IsValid() {
			return p, false
		}
		p.Peer = remote.WithZone(s.Interface)
	}
	if !multiHop && p.Peer.Zone() == "" && s.SourceInterface != s.VRF {
		p.Interface = s.SourceInterface
	}
	return p, true
}

// watchSettings puts a profile into the engine's words.
func watchSettings(p spec.BFDProfile, secret string) bfd.Settings {
	s := bfd.Settings{
		MinTx: p.Transmit, MinRx: p.Receive, Multiplier: p.Multiplier, Echo: p.Echo, Passive: p.Passive, MinTTL: p.MinTTL,
	}
	if p.Auth.Type != 0 {
		s.Auth = bfd.Auth{Type: bfd.AuthType(p.Auth.Type), KeyID: p.Auth.KeyID, Secret: secret}
	}
	return s
}
