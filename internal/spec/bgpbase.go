package spec

import "github.com/belfry-lb/belfry/api/v1beta1"

// inherit returns the peer with each field that it leaves out taken from its template, whole. Fields that stand for one
// another are one field: a peer that has peerASN takes neither peerASNFrom nor dynamicASN.
func inherit(s, base v1beta1.BGPPeerSpec) v1beta1.BGPPeerSpec {
	inheritIdentity(&s, base)
	inheritAddresses(&s, base)
	either(&s.PeerPort, base.PeerPort)
	either(&s.Listen, base.Listen)
	either(&s.HoldTime, base.HoldTime)
	either(&s.KeepaliveTime, base.KeepaliveTime)
	either(&s.ConnectTime, base.ConnectTime)
	either(&s.RouterID, base.RouterID)
	if s.NodeSelectors == nil {
		s.NodeSelectors = base.NodeSelectors
	}
	if s.Password == "" && s.PasswordSecret == nil {
		s.Password, s.PasswordSecret = base.Password, base.PasswordSecret
	}
	either(&s.EBGPMultiHop, base.EBGPMultiHop)
	either(&s.EBGPMultiHopTTL, base.EBGPMultiHopTTL)
	either(&s.TTLSecurityHops, base.TTLSecurityHops)
	either(&s.EnableGracefulRestart, base.EnableGracefulRestart)
	either(&s.GracefulRestartTime, base.GracefulRestartTime)
	if s.Families == nil && s.DualStackAddressFamily == nil {
		s.Families, s.DualStackAddressFamily = base.Families, base.DualStackAddressFamily
	}
	either(&s.NextHop, base.NextHop)
	either(&s.BFDProfile, base.BFDProfile)
	either(&s.BFDStrict, base.BFDStrict)
	return s
}

func inheritIdentity(s *v1beta1.BGPPeerSpec, base v1beta1.BGPPeerSpec) {
	if s.MyASN == 0 && s.MyASNFrom == nil {
		s.MyASN, s.MyASNFrom = base.MyASN, base.MyASNFrom
	}
	if s.PeerASN == 0 && s.PeerASNFrom == nil && s.DynamicASN == "" {
		s.PeerASN, s.PeerASNFrom, s.DynamicASN = base.PeerASN, base.PeerASNFrom, base.DynamicASN
	}
	if s.LocalASN == 0 && s.LocalASNFrom == nil {
		s.LocalASN, s.LocalASNFrom = base.LocalASN, base.LocalASNFrom
	}
}

// inheritAddresses: an interface says where the router is as well as its address does; it also goes with a link-local one.
func inheritAddresses(s *v1beta1.BGPPeerSpec, base v1beta1.BGPPeerSpec) {
	if s.PeerAddress == "" && s.PeerAddressFrom == nil && s.AutoDiscovery == "" && s.Interface == "" {
		s.PeerAddress, s.PeerAddressFrom, s.AutoDiscovery = base.PeerAddress, base.PeerAddressFrom, base.AutoDiscovery
	}
	if a, err := parseAddr(string(s.PeerAddress)); s.AutoDiscovery == "" && (err != nil || a.IsLinkLocalUnicast()) {
		either(&s.Interface, base.Interface)
	}
	if s.SourceAddress == "" && s.SourceAddressFrom == nil {
		s.SourceAddress, s.SourceAddressFrom = base.SourceAddress, base.SourceAddressFrom
	}
	either(&s.SourceInterface, base.SourceInterface)
	either(&s.VRFName, base.VRFName)
}

// either keeps what is set.
func either[T comparable](field *T, base T) {
	var unset T
	if *field == unset {
		*field = base
	}
}
