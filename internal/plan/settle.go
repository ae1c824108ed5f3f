package plan

import "github.com/belfry-lb/belfry/internal/spec"

// Dataplane is what kube-proxy on a node, or what replaces it, says of itself.
type Dataplane string

// What it may be.
const (
	DataplaneHealthy   Dataplane = "healthy"
	DataplaneUnhealthy Dataplane = "unhealthy" // it answers, and says that it is not
	DataplaneWaiting   Dataplane = "waiting"   // nothing has answered since the speaker started, not long ago, or the rules are still to come
	DataplaneUnknown   Dataplane = "unknown"   // nothing answers: then it does not count
)

// Settle finishes what is known of single nodes with all of them in view: the rules for their marks, and whether kube-proxy
// is to be waited for, which it is while that of another node is there. It tells whether every ready node has the exclude
// label, which is ignored then.
func Settle(nodes []Node, rules spec.NodeRules) (everyNodeExcluded bool) {
	all := make([]*spec.Node, len(nodes))
	healthy := false
	for i := range nodes {
		all[i] = &nodes[i].Node
		healthy = healthy || nodes[i].Alive && nodes[i].Dataplane == DataplaneHealthy
	}
	for i := range nodes {
		if nodes[i].Dataplane == DataplaneWaiting && !healthy {
			nodes[i].Dataplane = DataplaneUnknown
		}
	}
	return rules.Apply(all)
}
