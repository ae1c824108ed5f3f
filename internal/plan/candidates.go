package plan

import (
	"net/netip"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Candidate is a node and what keeps it from announcing an address; Reason is "" when nothing does.
type Candidate struct {
	Node   string
	Reason spec.Reason
}

// Candidates tells of every node whether it could announce an address of the Service on the local network, in the order
// of World.Nodes. Which of them does, Make decides.
func (w World) Candidates(s Service, a netip.Addr, pool string) []Candidate {
	var advs []spec.L2Advertisement
	for _, adv := range w.Config.L2Advertisements {
		if adv.SelectsPool(pool) {
			advs = append(advs, adv)
		}
	}
	out := make([]Candidate, len(w.Nodes))
	for i, n := range w.Nodes {
		_, reason := n.eligible(advs, spec.FamilyOf(a))
		if reason == "" && !CanServe(s, n.Name) {
			reason = ReasonNoLocalEndpoint
		}
		out[i] = Candidate{n.Name, reason}
	}
	return out
}

// Refusal tells what keeps the node from announcing anything, "" for nothing.
func (n Node) Refusal() spec.Reason { return n.canAcquire() }
