package controllers

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
)

// Reasons of the condition Watched.
const (
	// reasonPathsUp: BFD is up between the router and every node that should have a session.
	reasonPathsUp spec.Reason = "PathsUp"
	// reasonPathDown: BFD is not up between the router and a node.
	reasonPathDown spec.Reason = "PathDown"
)

// watch sets the condition that tells of the paths to a router, or takes it away where nothing watches them.
func (r *routing) watch(o *v1beta1.BGPPeer, conditions *[]metav1.Condition) {
	wanted, up := 0, 0
	var reason spec.Reason
	var message string
	for _, n := range r.nodes {
		peer, speaks := r.plans[n.Name].Peers[o.Name]
		if !speaks || peer.Session.BFDProfile == "" {
			continue
		}
		wanted++
		why, words := spec.ReasonUnknownProfile, "there is no BFDProfile "+peer.Session.BFDProfile+" that can be used"
		if peer.BFD != nil {
			why, words = r.path(n.Name, o.Name)
		}
		switch {
		case why == "":
			up++
		case reason == "":
			reason, message = why, "; node "+n.Name+": "+words
		}
	}
	if wanted == 0 {
		meta.RemoveStatusCondition(conditions, v1beta1.ConditionWatched)
		return
	}
	c := metav1.Condition{
		Type: v1beta1.ConditionWatched, Status: metav1.ConditionFalse, ObservedGeneration: o.Generation,
		Reason: string(reason), Message: fmt.Sprintf("BFD is up on %d of %d nodes%s", up, wanted, message),
	}
	if reason == "" {
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, string(reasonPathsUp), fmt.Sprintf("BFD is up on all %d nodes", wanted)
	}
	meta.SetStatusCondition(conditions, c)
}

// path tells why BFD is not up between a node and a router, "" when it is.
func (r *routing) path(node, peer string) (spec.Reason, string) {
	s := r.counted[node]
	if s == nil {
		return reasonSilent, "its speaker is not Ready, or the others do not see it"
	}
	for _, p := range s.Status.BGP.Peers {
		switch {
		case p.Name != peer || p.BFD == nil:
		case p.BFD.State == bfd.Up.String():
			return "", ""
		default:
			return reasonPathDown, cmp.Or(p.BFD.Message, "it has not come up yet")
		}
	}
	return reasonPathDown, untold(s)
}
