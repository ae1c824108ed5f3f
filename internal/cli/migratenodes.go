package cli

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/migrate"
)

// never is the label's value that no node has.
const never = "never"

// standNodes looks at the nodes on which an old speaker runs or ran.
func (s *standing) standNodes(m *move) {
	pods := s.workloads.speakerPods()
	for _, n := range s.facts.Nodes {
		name, l := n.Object.Name, n.Object.Labels
		labelled := l[v1beta1.LabelMigrating] != "" || l[v1beta1.LabelMigrated] != ""
		talking, waiting := sessions(n, s.peers)
		if len(pods[name]) == 0 && !labelled && !slices.Contains(s.before.Nodes, name) {
			if talking && s.Guarded {
				s.Stray = append(s.Stray, name)
			}
			continue
		}
		s.Nodes = append(s.Nodes, migrate.Node{
			Name:     name,
			Left:     s.Patched && l[v1beta1.LabelMigrating] != "",
			Running:  len(pods[name]) > 0,
			Settling: slices.ContainsFunc(pods[name], func(p corev1.Pod) bool { return !readyFor(&p, m.settle, m.time()) }),
			Selected: s.selected(n),
			Talking:  talking,
			Waiting:  waiting,
			Labelled: labelled,
		})
	}
}

// selected tells whether our peers select the node, as they are now.
func (s *standing) selected(n explain.Node) bool {
	if s.Guarded {
		return n.Object.Labels[v1beta1.LabelMigrated] != ""
	}
	for _, p := range s.facts.Objects.BGPPeers {
		if slices.ContainsFunc(s.peers, func(q peer) bool { return q.name == p.Name && q.selects(n.Object.Labels) }) {
			return true
		}
	}
	return false
}

// readyFor tells whether the Pod has been ready for so long.
func readyFor(p *corev1.Pod, least time.Duration, now time.Time) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && now.Sub(c.LastTransitionTime.Time) >= least
		}
	}
	return false
}
