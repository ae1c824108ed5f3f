package speaker

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// carry notes which plan was just carried out, and since when. A speaker that comes back to the plan of the one before it
// goes on with that one's time, so that its return alone is no reason to write.
func (p *passer) carry(ctx context.Context) {
	at := p.carriedAt
	p.carriedAt = time.Time{}
	me := p.own()
	if me < 0 {
		return
	}
	if p.carried == nil {
		var before v1beta1.SpeakerStatus
		if err := p.o.Client.Get(ctx, types.NamespacedName{Name: p.o.Node}, &before); err == nil {
			p.carried = before.Status.Plan
		}
	}
	if digest := p.planner.Digest(p.objects, p.cluster[me]); p.carried == nil || p.carried.Digest != digest {
		p.carried = &v1beta1.SpeakerPlan{Digest: digest, Since: metav1.NewTime(at.Truncate(time.Second))}
	}
}
