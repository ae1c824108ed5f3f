package speaker

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/members"
)

// recallTimeout bounds the read of what was reported.
const recallTimeout = 2 * time.Second

// recall takes up, once, what this node had when its speaker last reported: should all speakers have been restarted at the
// same time, nobody else remembers, and nothing has to move. What others had that are not ready yet is remembered for them.
// What somebody has meanwhile stays there: that is known when the join window is over.
func (p *passer) recall(ctx context.Context, roster []members.Member) {
	if p.recalls || !p.settled {
		return
	}
	p.recalls = true
	absent := map[string][]plan.Claim{}
	for node, s := range p.reports(ctx, unready(p.peers, roster, p.o.Node)) {
		had, err := reported(s)
		if err != nil {
			p.o.Log.Error(err, "SpeakerStatus not understood", "node", node)
		}
		if len(had) > 0 {
			absent[node] = had
		}
	}
	maps.Copy(absent, p.mind.facts.Absent) // what was said in the group is newer
	p.mind.facts.Absent = absent
}

// unready lists the peers that may have had addresses which they do not claim yet, this node's own first.
func unready(peers map[string]netip.AddrPort, roster []members.Member, self string) []string {
	others := maps.Clone(peers)
	for _, m := range roster {
		if m.State == members.Ready || m.State == members.Draining {
			delete(others, m.Name)
		}
	}
	delete(others, self)
	return append([]string{self}, slices.Sorted(maps.Keys(others))...)
}

// reports reads what these nodes announced when their speakers last reported.
func (p *passer) reports(ctx context.Context, nodes []string) map[string]v1beta1.SpeakerL2 {
	ctx, stop := context.WithTimeout(ctx, recallTimeout)
	defer stop()
	out := map[string]v1beta1.SpeakerL2{}
	if len(nodes) == 1 {
		var s v1beta1.SpeakerStatus
		if err := p.o.Client.Get(ctx, types.NamespacedName{Name: nodes[0]}, &s); err == nil {
			out[nodes[0]] = s.Status.L2
		}
		return out
	}
	var list v1beta1.SpeakerStatusList
	// From the API server's own cache: whole clusters ask at the same time.
	if err := p.o.Direct.List(ctx, &list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}); err != nil {
		p.o.Log.Info("Could not read what speakers announced before", "node", p.o.Node, "reason", err.Error())
	}
	for _, s := range list.Items {
		if slices.Contains(nodes, s.Name) {
			out[s.Name] = s.Status.L2
		}
	}
	return out
}

// reported reads the claims of a status. Addresses without one, of an older version, are claimed for the first time.
func reported(s v1beta1.SpeakerL2) ([]plan.Claim, error) {
	var packed []claims
	for _, c := range s.Claims {
		packed = append(packed, claims{Epoch: uint64(max(c.Epoch, 1)), Addresses: c.Addresses}) // #nosec G115 -- positive
	}
	packed = append(packed, claims{Epoch: 1, Addresses: s.Addresses})
	return unpack(packed)
}

// epochs are what the status says of claims.
func epochs(list []plan.Claim) map[netip.Addr]uint64 {
	out := make(map[netip.Addr]uint64, len(list))
	for _, c := range list {
		if !c.Fresh && c.From == "" {
			out[c.Addr] = c.Epoch
		}
	}
	return out
}
