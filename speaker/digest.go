package speaker

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// digestOf sums up what a plan for this node is made from, "" while the Node is not known.
func (p *passer) digestOf(o spec.Objects, w plan.World, cluster []spec.Node) string {
	own := slices.IndexFunc(cluster, func(n spec.Node) bool { return n.Name == p.o.Node })
	if own < 0 {
		return ""
	}
	return plan.Digest(o, w, cluster[own])
}

// carry notes which plan was just carried out, and since when. A speaker that comes back to the plan of the one before it
// goes on with that one's time, so that its return alone is no reason to write.
func (p *passer) carry(ctx context.Context, now time.Time) {
	if p.digest == "" {
		return
	}
	if p.carried == nil {
		var before v1beta1.SpeakerStatus
		if err := p.o.Client.Get(ctx, types.NamespacedName{Name: p.o.Node}, &before); err == nil {
			p.carried = before.Status.Plan
		}
	}
	if p.carried == nil || p.carried.Digest != p.digest {
		p.carried = &v1beta1.SpeakerPlan{Digest: p.digest, Since: metav1.NewTime(now.Truncate(time.Second))}
	}
}
