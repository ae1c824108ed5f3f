package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// BGP returns what a node should be telling routers, worked out once.
func (v *View) BGP(node string) plan.BGPPlan {
	p, known := v.plans[node]
	if !known {
		p = plan.MakeBGP(v.world, node)
		v.plans[node] = p
	}
	return p
}

// routers explains how an address is told to routers: by each node, to whom, and whether the session stands.
func (v *View) routers(e *Explanation, s plan.Service, a netip.Addr, good []string) []string {
	if !s.Endpoints.Of(spec.FamilyOf(a)).Any() {
		return good // pods has told
	}
	var rows []Row
	told := 0
	for _, n := range v.world.Nodes {
		r := v.routerRow(n, s, a)
		if rows = append(rows, r); r.State == OK {
			told++
		}
	}
	h := v.heard()[plan.Hold{Service: s.Key, Addr: a}]
	if h.Reason != "" {
		e.broken("routers", h.Reason, h.Message, rows...)
		return good
	}
	e.ok("routers", fmt.Sprintf("hear of %s from %d of %d nodes", a, told, len(rows)), rows...)
	return append(good, fmt.Sprintf("%s is told to routers by %d nodes", a, told))
}

func (v *View) routerRow(n plan.Node, s plan.Service, a netip.Addr) Row {
	p := v.BGP(n.Name)
	for _, h := range p.Withheld {
		if h.Service == s.Key && h.Addr == a {
			return Row{n.Name, Note, h.Reason, h.Message}
		}
	}
	var up, down []string
	for _, name := range slices.Sorted(maps.Keys(p.Peers)) {
		if !reaches(p.Peers[name].Routes, a) {
			continue
		}
		if slices.Contains(n.BGP.Established, name) {
			up = append(up, name)
		} else {
			down = append(down, name)
		}
	}
	switch {
	case len(up) > 0:
		return Row{n.Name, OK, "", "tells " + atMost(up)}
	case len(down) > 0:
		return Row{n.Name, Note, v.sessionReason(n.Name, down[0]), "no session with " + atMost(down)}
	}
	return Row{n.Name, Note, plan.ReasonNoPeer, vocabulary()[plan.ReasonNoPeer].Means}
}

// reaches tells whether one of the routes is for the address.
func reaches(routes map[netip.Prefix]plan.Route, a netip.Addr) bool {
	for bits := a.BitLen(); bits >= 0; bits-- {
		if p, err := a.Prefix(bits); err == nil {
			if _, ok := routes[p]; ok {
				return true
			}
		}
	}
	return false
}

// session returns what a node's speaker says of its session with a router.
func (n Node) session(peer string) (v1beta1.SpeakerPeer, bool) {
	if n.Status == nil {
		return v1beta1.SpeakerPeer{}, false
	}
	i := slices.IndexFunc(n.Status.Status.BGP.Peers, func(p v1beta1.SpeakerPeer) bool { return p.Name == peer })
	if i < 0 {
		return v1beta1.SpeakerPeer{}, false
	}
	return n.Status.Status.BGP.Peers[i], true
}

// Established tells whether a node's speaker says that it has a session with a router.
func (v *View) Established(node, peer string) bool {
	n, _ := v.node(node)
	s, ok := n.session(peer)
	return ok && s.State == v1beta1.SessionEstablished
}

func (v *View) sessionReason(node, peer string) spec.Reason {
	n, _ := v.node(node)
	s, _ := n.session(peer)
	return spec.Reason(s.Reason)
}

// Peer explains a BGPPeer: whether it can be used, and the session of each node.
func (v *View) Peer(name string) Explanation {
	i := slices.IndexFunc(v.Objects.BGPPeers, func(p v1beta1.BGPPeer) bool { return p.Name == name })
	if i < 0 {
		return notFound("peer "+name, "BGPPeer "+name)
	}
	e := Explanation{Subject: "peer " + name, name: name}
	if v.Objects.BGPPeers[i].Spec.Template {
		e.ok("object", "a template: nobody speaks to it")
		return e.conclude("a template")
	}
	v.peerProblems(&e, name)
	at := slices.IndexFunc(v.Snapshot.BGP.Peers, func(p spec.Peer) bool { return p.Name == name })
	if at < 0 {
		return e.conclude("")
	}
	var listeners []string
	for _, adv := range v.Snapshot.BGP.Advertisements {
		if adv.SelectsPeer(v.Snapshot.BGP.Peers[at]) {
			listeners = append(listeners, adv.Name)
		}
	}
	if listeners == nil {
		e.note("advertisement", plan.ReasonNoAdvertisement, "no BGPAdvertisement is for this peer: it is told nothing")
	} else {
		e.ok("advertisement", "told what is selected by "+atMost(listeners))
	}
	return e.conclude(v.sessions(&e, v.Snapshot.BGP.Peers[at]))
}

func (v *View) peerProblems(e *Explanation, name string) {
	for _, p := range v.Problems {
		if p.Kind != "BGPPeer" || p.Name != name {
			continue
		}
		if slices.ContainsFunc(v.Snapshot.BGP.Peers, func(p spec.Peer) bool { return p.Name == name }) {
			e.note("object", p.Reason, p.Message)
		} else {
			e.broken("object", p.Reason, p.Message)
		}
	}
	if len(e.Links) == 0 {
		e.ok("object", "valid")
	}
}

// sessions tells of every node that the peer selects; it is broken when not all sessions that should be are established.
func (v *View) sessions(e *Explanation, peer spec.Peer) string {
	var rows []Row
	var first Row
	up := 0
	for _, n := range v.world.Nodes {
		if !peer.SelectsNode(n.Labels) {
			continue
		}
		r := v.sessionRow(n.Name, peer.Name)
		rows = append(rows, r)
		switch {
		case r.State == OK:
			up++
		case r.State == Broken && first.Name == "":
			first = r
		}
	}
	text := fmt.Sprintf("%d of %d are established", up, len(rows))
	switch {
	case len(rows) == 0:
		e.note("sessions", plan.ReasonNotSelected, "nodeSelectors of the peer select no node")
	case first.Name != "":
		e.broken("sessions", first.Reason, fmt.Sprintf("%s; node %s: %s", text, first.Name, first.Text), rows...)
	default:
		e.ok("sessions", text, rows...)
	}
	return text
}

func (v *View) sessionRow(node, peer string) Row {
	p := v.BGP(node)
	if problem, broken := p.Broken[peer]; broken {
		return Row{node, Broken, problem.Reason, problem.Message}
	}
	n, _ := v.node(node)
	s, told := n.session(peer)
	mode := p.Peers[peer]
	switch {
	case told && s.State == v1beta1.SessionEstablished:
		return Row{node, OK, "", strings.TrimSpace(fmt.Sprintf("established with %s, AS %d, %d of %d routes sent", s.Remote, s.PeerASN, s.RoutesSent, s.RoutesWanted))}
	case mode.Mode != plan.Up:
		return Row{node, Note, mode.Reason, strings.ToLower(mode.Mode.String())}
	case told && s.Reason != "":
		return Row{node, Broken, spec.Reason(s.Reason), strings.TrimSuffix(s.State+": "+s.Message, ": ")}
	case told:
		return Row{node, Broken, plan.ReasonNoSession, s.State}
	}
	if left := n.omitted().BGPPeers; left > 0 {
		return Row{node, Note, ReasonOtherPlan, andMore("the node's speaker does not tell of it", left)}
	}
	return Row{node, Broken, ReasonOtherPlan, "the node's speaker tells nothing of it"}
}
