package plan

import (
	"net/netip"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Candidate is a node and what keeps it from acquiring an address; Reason is "" when nothing does.
type Candidate struct {
	Node   string
	Reason spec.Reason
}

// Candidates tells of every node whether it could acquire an address of the Service on the local network, in the order of
// World.Nodes. Which of them has it, Make decides.
func (w World) Candidates(s Service, a netip.Addr, pool string) []Candidate {
	f := spec.FamilyOf(a)
	advs := w.AdvertisementsOf(s, pool)
	out := make([]Candidate, len(w.Nodes))
	for i, n := range w.Nodes {
		reason := n.runner(i, advs, f).reason
		if reason == "" && !CanServe(s, f, n.Name) {
			reason = ReasonNoLocalEndpoint
		}
		out[i] = Candidate{n.Name, reason}
	}
	return out
}

// AdvertisementsOf returns those that announce the Service's addresses of the pool on the local network.
func (w World) AdvertisementsOf(s Service, pool string) (advs []spec.L2Advertisement) {
	for _, a := range w.Config.L2Of(pool) {
		if a.SelectsService(s.Labels) {
			advs = append(advs, a)
		}
	}
	return advs
}

// Refusal tells what keeps the node from acquiring anything, "" for nothing.
func (n Node) Refusal() spec.Reason { return n.canAcquire() }
