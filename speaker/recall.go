package speaker

import (
	"context"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
)

// recall takes up, once, what this node had when its speaker last reported: should all speakers have been restarted at the
// same time, nobody else remembers, and nothing has to move. What another has meanwhile stays there, which is known when the
// join window is over.
func (p *passer) recall(ctx context.Context) {
	if p.recalls || !p.settled {
		return
	}
	p.recalls = true
	var s v1beta1.SpeakerStatus
	if err := p.o.Client.Get(ctx, types.NamespacedName{Name: p.o.Node}, &s); err != nil {
		return // it never reported
	}
	had, err := reported(s.Status.L2)
	if err != nil {
		p.o.Log.Error(err, "Could not take up what was announced before", "node", p.o.Node)
		return
	}
	if len(had) == 0 {
		return
	}
	absent := map[string][]plan.Claim{p.o.Node: had}
	for name, claims := range p.mind.facts.Absent {
		if name != p.o.Node {
			absent[name] = claims
		}
	}
	p.mind.facts.Absent = absent
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
