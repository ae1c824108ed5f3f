package speaker

import (
	"context"
	"fmt"
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

const (
	// recallTimeout bounds each read of what was reported.
	recallTimeout = 2 * time.Second
	// recallTries is how often the API server is asked for what others reported. Without it a speaker goes on alone: the
	// API server may be away for long.
	recallTries = 3
)

// recalling is how far a speaker is with taking up what was announced before it started.
type recalling struct {
	done  bool
	tries int       // to read what others announced
	asked time.Time // when it last tried
	err   error     // why it is not done
}

// recall takes up, once, what this node had when its speaker last reported: should all speakers have been restarted at the
// same time, nobody else remembers, and nothing has to move. What others had that are not ready yet is remembered for them.
// What somebody has meanwhile stays there: that is known when the join window is over. Until then no speaker reports: it
// would write over what it is to recall itself, and others after it.
//
// While it has failed it is to be called again, and this node does not take part. What it had itself it has all the same.
func (p *passer) recall(ctx context.Context, now time.Time, roster []members.Member) {
	r := &p.recalling
	if r.done || !p.settled || now.Before(r.asked.Add(retryAfter)) {
		return
	}
	r.asked = now
	absent := map[string][]plan.Claim{}
	remember := func(node string, s v1beta1.SpeakerL2) {
		had, err := reported(s)
		if err != nil {
			p.o.Log.Error(err, "SpeakerStatus not understood", "node", node)
		}
		if len(had) > 0 {
			absent[node] = had
		}
	}
	remember(p.o.Node, p.ownReport(ctx))
	others, err := p.reports(ctx, unready(p.peers, roster, p.o.Node))
	for node, s := range others {
		remember(node, s)
	}
	maps.Copy(absent, p.mind.facts.Absent) // what was said in the group is newer
	p.mind.facts.Absent = absent
	if r.tries++; err != nil && r.tries < recallTries {
		r.err = err
		return
	}
	if err != nil {
		p.o.Log.Info("Going on without what other speakers announced before", "node", p.o.Node, "reason", err.Error())
	}
	r.done, r.err = true, nil
}

// unready lists the other peers that may have had addresses which they do not claim yet, sorted.
func unready(peers map[string]netip.AddrPort, roster []members.Member, self string) []string {
	others := maps.Clone(peers)
	for _, m := range roster {
		if m.State == members.Ready || m.State == members.Draining {
			delete(others, m.Name)
		}
	}
	delete(others, self)
	return slices.Sorted(maps.Keys(others))
}

// ownReport reads what this node announced when its speaker last reported, from the cache or the snapshot.
func (p *passer) ownReport(ctx context.Context) v1beta1.SpeakerL2 {
	var s v1beta1.SpeakerStatus
	if err := p.o.Client.Get(ctx, types.NamespacedName{Name: p.o.Node}, &s); err != nil {
		return v1beta1.SpeakerL2{} // there is none yet
	}
	return s.Status.L2
}

// reports reads the same of other nodes.
func (p *passer) reports(ctx context.Context, nodes []string) (map[string]v1beta1.SpeakerL2, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	ctx, stop := context.WithTimeout(ctx, recallTimeout)
	defer stop()
	var list v1beta1.SpeakerStatusList
	// From the API server's own cache: whole clusters ask at the same time.
	if err := p.o.Direct.List(ctx, &list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}); err != nil {
		return nil, fmt.Errorf("reading what other speakers announced before: %w", err)
	}
	out := map[string]v1beta1.SpeakerL2{}
	for _, s := range list.Items {
		if slices.Contains(nodes, s.Name) {
			out[s.Name] = s.Status.L2
		}
	}
	return out, nil
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
