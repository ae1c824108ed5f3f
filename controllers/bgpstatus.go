package controllers

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Reasons of the conditions of BGP's kinds, besides those of internal/spec, internal/plan and speaker/bgp.
const (
	// reasonTemplate: others take from the BGPPeer, and nobody speaks to it.
	reasonTemplate spec.Reason = "Template"
	// reasonEstablished: every node that should has a session with the router.
	reasonEstablished spec.Reason = "Established"
	// reasonNotYetUp: a node's speaker says nothing of the session yet.
	reasonNotYetUp spec.Reason = "NoSessionYet"
	// reasonSilent: a node's speaker is not Ready, or the others do not see it.
	reasonSilent spec.Reason = "SpeakerSilent"
)

// mostUsers is how many users a status names; there may be more.
const mostUsers = 64

// routing is all that the statuses of BGP's kinds are made from.
type routing struct {
	config   *spec.Snapshot
	problems map[string][]spec.Problem // by kind and name
	nodes    []plan.Node               // by name
	speakers map[string]bool           // nodes that have a speaker, well or not
	counted  map[string]*v1beta1.SpeakerStatus
	plans    map[string]plan.BGPPlan // by node, without routes
}

// newRouting works out what all nodes should have.
func newRouting(config *spec.Snapshot, problems []spec.Problem, nodes []plan.Node, speakers map[string]bool, counted []*v1beta1.SpeakerStatus) *routing {
	r := &routing{
		config: config, problems: map[string][]spec.Problem{}, nodes: nodes, speakers: speakers,
		counted: map[string]*v1beta1.SpeakerStatus{}, plans: map[string]plan.BGPPlan{},
	}
	for _, p := range problems {
		r.problems[p.Kind+"/"+p.Name] = append(r.problems[p.Kind+"/"+p.Name], p)
	}
	for _, s := range counted {
		r.counted[s.Name] = s
	}
	bare := plan.World{Config: config, Nodes: nodes}
	for _, n := range nodes {
		if speakers[n.Name] {
			r.plans[n.Name] = plan.MakeBGP(bare, n.Name)
		}
	}
	return r
}

// facts returns what is wrong with an object, joined.
func (r *routing) facts(kind, name string, generation int64, more ...spec.Problem) objectFacts {
	f := objectFacts{generation: generation}
	for _, p := range slices.Concat(r.problems[kind+"/"+name], more) {
		if f.problem == nil {
			f.problem = &p
			continue
		}
		f.problem.Message += "; " + p.Message
	}
	return f
}

// peer returns what a BGPPeer's status is to be.
func (r *routing) peer(o *v1beta1.BGPPeer) v1beta1.BGPPeerStatus {
	s := v1beta1.BGPPeerStatus{ObservedGeneration: o.Generation, Conditions: slices.Clone(o.Status.Conditions)}
	if o.Spec.Template {
		c := ready(r.facts("BGPPeer", o.Name, o.Generation), "it is a template: other BGPPeers name it in spec.base")
		if c.Status == metav1.ConditionTrue {
			c.Reason = string(reasonTemplate)
		}
		meta.SetStatusCondition(&s.Conditions, c)
		meta.RemoveStatusCondition(&s.Conditions, v1beta1.ConditionEstablished)
		meta.RemoveStatusCondition(&s.Conditions, v1beta1.ConditionWatched)
		return s
	}
	sessions := r.sessions(o.Name)
	meta.SetStatusCondition(&s.Conditions, ready(r.facts("BGPPeer", o.Name, o.Generation, sessions.problems()...), "it is in use"))
	s.Wanted, s.Established = int32(len(sessions.nodes)), int32(sessions.established)
	s.Sessions = fmt.Sprintf("%d/%d", s.Established, s.Wanted)
	meta.SetStatusCondition(&s.Conditions, sessions.condition(o.Generation))
	r.watch(o, &s.Conditions)
	return s
}

// sessions is what nodes have to say of one peer.
type sessions struct {
	nodes       []string // that should have a session
	established int
	broken      []spec.Problem // one for each node that cannot have one, or not as it was asked for
	reason      spec.Reason    // of the first node without a session
	message     string
}

func (r *routing) sessions(peer string) sessions {
	var s sessions
	for _, n := range r.nodes {
		p, speaks := r.plans[n.Name]
		if !speaks {
			continue
		}
		problem, broken := p.Broken[peer]
		_, wanted := p.Peers[peer]
		for _, x := range p.Problems {
			if x.Name == peer {
				s.broken = append(s.broken, x)
			}
		}
		switch {
		case broken:
			s.broken = append(s.broken, problem)
			s.lacks(n.Name, problem.Reason, problem.Message)
		case wanted:
			reason, message := r.session(n.Name, peer)
			s.lacks(n.Name, reason, "node "+n.Name+": "+message)
		}
	}
	return s
}

// lacks notes what a node says; no reason means that it has the session.
func (s *sessions) lacks(node string, reason spec.Reason, message string) {
	s.nodes = append(s.nodes, node)
	switch {
	case reason == "":
		s.established++
	case s.reason == "":
		s.reason, s.message = reason, message
	}
}

// session tells why a node has no session with a peer, "" when it has one.
func (r *routing) session(node, peer string) (spec.Reason, string) {
	s := r.counted[node]
	if s == nil {
		return reasonSilent, "its speaker is not Ready, or the others do not see it"
	}
	for _, p := range s.Status.BGP.Peers {
		switch {
		case p.Name != peer:
		case p.State == v1beta1.SessionEstablished:
			return "", ""
		default:
			return spec.Reason(cmp.Or(p.Reason, string(reasonNotYetUp))), cmp.Or(p.Message, "the session is "+p.State)
		}
	}
	return reasonNotYetUp, untold(s)
}

// untold tells why a speaker says nothing of a peer.
func untold(s *v1beta1.SpeakerStatus) string {
	if n := s.Status.Omitted.BGPPeers; n > 0 {
		return fmt.Sprintf("its speaker has too many peers to tell of all: %d are left out", n)
	}
	return "its speaker says nothing of it yet"
}

// problems joins those of all nodes: the first one in words, the others by number.
func (s *sessions) problems() []spec.Problem {
	if len(s.broken) == 0 {
		return nil
	}
	first := s.broken[0]
	if n := len(s.broken) - 1; n > 0 {
		first.Message += fmt.Sprintf(" (and %d more nodes)", n)
	}
	return []spec.Problem{first}
}

func (s *sessions) condition(generation int64) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionEstablished, Status: metav1.ConditionFalse, ObservedGeneration: generation,
		Reason: string(s.reason), Message: fmt.Sprintf("%d of %d nodes have a session; %s", s.established, len(s.nodes), s.message)}
	switch {
	case len(s.nodes) == 0:
		c.Reason, c.Message = string(reasonNoNode), "no node with a speaker should have a session"
	case s.reason == "":
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, string(reasonEstablished), fmt.Sprintf("all %d nodes have a session", len(s.nodes))
	}
	return c
}

// peerNews tells of sessions and paths that are complete, or not any more.
func peerNews(was []metav1.Condition, is []metav1.Condition) (out []notice) {
	for _, kind := range []string{v1beta1.ConditionReady, v1beta1.ConditionEstablished, v1beta1.ConditionWatched} {
		old, c := meta.FindStatusCondition(was, kind), meta.FindStatusCondition(is, kind)
		if c == nil || old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		bad := c.Status == metav1.ConditionFalse
		if bad || kind != v1beta1.ConditionReady || old != nil && old.Status == metav1.ConditionFalse {
			out = append(out, notice{warning: bad, reason: c.Reason, message: c.Message})
		}
	}
	return out
}

// advertisement returns what a BGPAdvertisement's condition is to be.
func (r *routing) advertisement(o *v1beta1.BGPAdvertisement) metav1.Condition {
	var more []spec.Problem
	for _, a := range r.config.BGP.Advertisements {
		if a.Name != o.Name || len(r.nodes) == 0 {
			continue
		}
		selected := func(n plan.Node) bool { return a.SelectsNode(n.Labels) }
		if !slices.ContainsFunc(r.nodes, selected) {
			more = append(more, spec.Problem{Reason: reasonNoNode, Message: fmt.Sprintf(
				"spec.nodeSelectors: none of the cluster's %d nodes has such labels", len(r.nodes))})
		}
		if !slices.ContainsFunc(r.config.BGP.Peers, a.SelectsPeer) {
			more = append(more, spec.Problem{Reason: plan.ReasonNoPeer, Message: "there is no BGPPeer that it could be told to"})
		}
	}
	return ready(r.facts("BGPAdvertisement", o.Name, o.Generation, more...), "it is in use")
}

// users returns a list as a status has it.
func users(all []string) []string { return all[:min(len(all), mostUsers)] }
