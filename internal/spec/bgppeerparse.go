package spec

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// parsePeers reads all routers, those with a base with what they take from it. Templates are checked and left out.
func parsePeers(objects []v1beta1.BGPPeer) (peers []Peer, problems []Problem) {
	byName := make(map[string]*v1beta1.BGPPeer, len(objects))
	for i := range objects {
		byName[objects[i].Name] = &objects[i]
	}
	for i := range objects {
		o := &objects[i]
		p, problem := parsePeer(o, byName)
		switch {
		case problem != nil:
			problems = append(problems, *problem)
		case !o.Spec.Template:
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return peers, problems
}

func parsePeer(o *v1beta1.BGPPeer, byName map[string]*v1beta1.BGPPeer) (Peer, *Problem) {
	s := o.Spec
	if s.Base != "" {
		base, ok := byName[s.Base]
		if !ok {
			return Peer{}, peerProblem(o.Name, ReasonUnknownTemplate, fmt.Sprintf("spec.base: there is no BGPPeer %s", s.Base))
		}
		if !base.Spec.Template {
			return Peer{}, peerProblem(o.Name, ReasonUnknownTemplate, fmt.Sprintf("spec.base: BGPPeer %s is no template: set spec.template there", s.Base))
		}
		s = inherit(s, base.Spec)
	}
	p := Peer{
		Name: o.Name, Created: o.CreationTimestamp.Time, Labels: labels.Merge(o.Labels, nil),
		from: perNode{
			myASN: keyFrom(s.MyASNFrom), localASN: keyFrom(s.LocalASNFrom), peerASN: keyFrom(s.PeerASNFrom),
			peerAddress: keyFrom(s.PeerAddressFrom), sourceAddress: keyFrom(s.SourceAddressFrom),
		},
	}
	var err error
	if p.Nodes, err = parseSelectorList(s.NodeSelectors); err != nil {
		return Peer{}, peerProblem(o.Name, ReasonBadSelector, fmt.Sprintf("spec.nodeSelectors%v", err))
	}
	if missing := missingOf(s); missing != "" && !s.Template {
		return Peer{}, peerProblem(o.Name, ReasonIncomplete, missing+atHome(s))
	}
	if contradiction := contradictionOf(s); contradiction != "" {
		return Peer{}, peerProblem(o.Name, ReasonContradiction, contradiction+atHome(s))
	}
	r := reader{}
	p.myASN, p.localASN = r.asn("myASN", s.MyASN), r.asn("localASN", s.LocalASN)
	p.session = r.session(s)
	if r.err != nil {
		return Peer{}, peerProblem(o.Name, ReasonBadValue, r.err.Error()+atHome(s))
	}
	return p, nil
}

// atHome says where else to look for the mistake.
func atHome(s v1beta1.BGPPeerSpec) string {
	if s.Base == "" {
		return ""
	}
	return fmt.Sprintf(" (with what it takes from template %s)", s.Base)
}

func keyFrom(v *v1beta1.NodeValue) nodeKey {
	switch {
	case v == nil:
		return nodeKey{}
	case v.NodeAnnotation != "":
		return nodeKey{v.NodeAnnotation, true}
	}
	return nodeKey{v.NodeLabel, false}
}

// missingOf says what a peer cannot do without, for those with a base; of others the API server has seen to it.
func missingOf(s v1beta1.BGPPeerSpec) string {
	switch {
	case s.MyASN == 0 && s.MyASNFrom == nil:
		return "spec.myASN or spec.myASNFrom is needed"
	case s.PeerASN == 0 && s.PeerASNFrom == nil && s.DynamicASN == "":
		return "spec.peerASN, spec.peerASNFrom or spec.dynamicASN is needed"
	case s.PeerAddress == "" && s.PeerAddressFrom == nil && s.Interface == "" && s.AutoDiscovery == "":
		return "spec.peerAddress, spec.peerAddressFrom, spec.interface or spec.autoDiscovery is needed"
	}
	return ""
}

// contradictionOf says what cannot be together. The API server refuses it within one object; a template and a peer may
// still come to it between them.
func contradictionOf(s v1beta1.BGPPeerSpec) string {
	addressless := s.PeerAddress == "" && s.PeerAddressFrom == nil
	switch {
	case s.AutoDiscovery != "" && s.Interface != "":
		return "spec.autoDiscovery and spec.interface exclude each other"
	case on(s.Listen) && s.Interface != "" && addressless:
		return "spec.listen needs the router's address"
	case s.TTLSecurityHops > 0 && on(s.EBGPMultiHop):
		return "spec.ttlSecurityHops and spec.ebgpMultiHop exclude each other"
	case len(s.Families) > 0 && on(s.DualStackAddressFamily):
		return "spec.families and spec.dualStackAddressFamily exclude each other"
	case s.Template:
		return "" // what it needs may come from the peer
	}
	return needsOf(s)
}

// needsOf says which field is there without the one that gives it a meaning.
func needsOf(s v1beta1.BGPPeerSpec) string {
	switch {
	case s.EBGPMultiHopTTL > 0 && !on(s.EBGPMultiHop):
		return "spec.ebgpMultiHopTTL needs spec.ebgpMultiHop"
	case s.GracefulRestartTime != nil && !on(s.EnableGracefulRestart):
		return "spec.gracefulRestartTime needs spec.enableGracefulRestart"
	case on(s.BFDStrict) && s.BFDProfile == "":
		return "spec.bfdStrict needs spec.bfdProfile"
	}
	return ""
}

func on(b *bool) bool { return b != nil && *b }

func peerProblem(name string, reason Reason, message string) *Problem {
	return &Problem{Kind: "BGPPeer", Name: name, Reason: reason, Message: message}
}
