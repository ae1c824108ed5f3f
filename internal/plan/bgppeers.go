package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/spec"
)

// speaking is a router that the node should speak to.
type speaking struct {
	peer     spec.Peer
	session  spec.Session
	bfd      *BFD
	mode     Mode
	reason   spec.Reason
	audience *audience // nil while Mode is Down
}

// sessions returns those of the node, the eldest peer first, and notes those that cannot be.
func (w World) sessions(p *BGPPlan, n Node) (all []*speaking) {
	seen := map[spec.Session]string{}
	for _, peer := range slices.SortedFunc(slices.Values(w.Config.BGP.Peers), spec.Peer.Older) {
		if !peer.SelectsNode(n.Labels) {
			continue
		}
		s, problem := peer.On(n.Node)
		if problem == nil {
			problem = duplicate(seen, peer.Name, s)
		}
		if problem != nil {
			p.Broken[peer.Name] = *problem
			continue
		}
		sp := &speaking{peer: peer, session: s}
		sp.mode, sp.reason = n.mode(w.BGP, peer.Name)
		if problem := sp.watch(w.Config.BGP, n); problem != nil {
			p.Problems = append(p.Problems, *problem)
		}
		all = append(all, sp)
	}
	return all
}

// duplicate tells which older peer is the same router from the same address: it would take the two sessions for one that
// is made twice (RFC 4271 §6.8).
func duplicate(seen map[spec.Session]string, name string, s spec.Session) *spec.Problem {
	ends := spec.Session{
		Address: s.Address, Interface: s.Interface, Gateway: s.Gateway, Port: s.Port,
		SourceAddress: s.SourceAddress, SourceInterface: s.SourceInterface, VRF: s.VRF,
	}
	older, is := seen[ends]
	if !is {
		seen[ends] = name
		return nil
	}
	return &spec.Problem{Kind: "BGPPeer", Name: name, Reason: ReasonDuplicatePeer, Message: fmt.Sprintf(
		"BGPPeer %s, which is older, is the same router: there is one session", older)}
}

// mode says what the node's state means for a session.
//
//	may acquire                                  Up
//	draining, excluded                           Draining
//	starting, told nothing yet                   Down: the router shall not hear half of what there is
//	kube-proxy's rules are still to come, too,
//	and there is no session yet                  Down, for the same
//	Node not Ready, or whatever else is wrong    Up, and nothing new is told
func (n Node) mode(own OwnBGP, peer string) (Mode, spec.Reason) {
	if n.Excluded {
		return Draining, ReasonExcluded
	}
	if n.Draining {
		return Draining, ReasonDraining
	}
	switch reason := n.canAcquire(); {
	case len(own.Told) > 0:
	case reason == ReasonNoSpeaker, reason == ReasonSpeakerNotReady:
		return Down, reason
	case reason == ReasonDataplaneWaiting && !slices.Contains(n.BGP.Established, peer):
		return Down, reason
	}
	return Up, ""
}

// watch finds the profile with which the path is watched.
func (s *speaking) watch(config spec.BGP, n Node) *spec.Problem {
	name := s.session.BFDProfile
	if name == "" {
		return nil
	}
	profile, ok := config.Profile(name)
	if !ok {
		if s.session.BFDStrict {
			s.mode, s.reason = Down, spec.ReasonUnknownProfile
		}
		return nil // the peer's condition says so everywhere
	}
	s.bfd = &BFD{profile, n.multiHop(s.session)}
	if s.bfd.MultiHop && profile.Echo > 0 {
		s.bfd.Profile.Echo = 0
		return &spec.Problem{Kind: "BGPPeer", Name: s.peer.Name, Reason: ReasonNoEcho, Message: fmt.Sprintf(
			"BFDProfile %s has echoMode, which there is not over several hops: the path is watched without", name)}
	}
	return nil
}

// multiHop tells whether the router may be several hops away: one of another AS if that was said, one of our own unless it
// is in a subnet of the node's.
func (n Node) multiHop(s spec.Session) bool {
	if !s.IBGP() {
		return s.TTL > 1 || s.SecurityHops > 1
	}
	a := s.Address
	if !a.IsValid() || a.IsLinkLocalUnicast() || s.SecurityHops == 1 {
		return false
	}
	return !slices.ContainsFunc(n.Interfaces, func(i Interface) bool {
		return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}

// audience is all routers that are told the same.
type audience struct {
	key    audienceKey
	advs   []int // of the teller's advertisements, those that are for these routers
	ibgp   bool
	ipv4   bool
	ipv6   bool
	routes map[netip.Prefix]Route
	drafts []draft
	at     map[netip.Prefix]int // place in drafts
}

type audienceKey struct {
	advs             string
	ibgp, ipv4, ipv6 bool
}

func (a *audience) hears(f spec.Family) bool {
	return f == spec.IPv4 && a.ipv4 || f == spec.IPv6 && a.ipv6
}

// audiences puts the routers together that are told the same.
func (t *teller) audiences(sessions []*speaking) {
	byKey := map[audienceKey]*audience{}
	for _, s := range sessions {
		if s.mode == Down {
			continue
		}
		a := audience{
			ibgp: s.session.IBGP(),
			// The families of a gateway that is still to be found may be either; the engine leaves out what does not fit.
			ipv4: s.session.IPv4 || s.session.Gateway && !s.session.IPv6,
			ipv6: s.session.IPv6 || s.session.Gateway && !s.session.IPv4,
		}
		for i, adv := range t.advs {
			if adv.SelectsPeer(s.peer) {
				a.advs = append(a.advs, i)
			}
		}
		a.key = audienceKey{keyOf(a.advs), a.ibgp, a.ipv4, a.ipv6}
		if byKey[a.key] == nil {
			a.drafts, a.at = make([]draft, 0, len(t.services)), make(map[netip.Prefix]int, len(t.services))
			byKey[a.key] = &a
			t.listeners = append(t.listeners, &a)
		}
		s.audience = byKey[a.key]
	}
}
