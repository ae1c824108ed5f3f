package speaker

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// withdrawn lists the Services that wait for the speakers to be silent about them, and about which this one is. It may
// still announce an address of theirs for another Service that shares it. The plan leaves out Services that are being
// deleted; what counts is what truly runs.
func (p *passer) withdrawn(should plan.Plan) []string {
	if !p.o.ServiceFinalizer {
		return nil
	}
	var uids []string
	for _, s := range p.gather.catalog().gone() {
		if !p.lingers(s.Service, should) && !p.lingersBGP(s.Service) {
			uids = append(uids, string(s.UID))
		}
	}
	slices.Sort(uids)
	return uids
}

// lingers tells whether an address of the Service is still announced, though the plan wants it for nobody.
func (p *passer) lingers(s spec.Service, should plan.Plan) bool {
	for _, a := range s.Held {
		_, runs := p.running.Addresses[a]
		if _, wanted := should.L2[a]; runs && !wanted {
			return true
		}
	}
	return false
}

// leaves tells whether a Service is being deleted and waits for the speakers.
func leaves(classes kube.Classes, o *corev1.Service) bool {
	return o.DeletionTimestamp != nil && classes.Ours(o) && slices.Contains(o.Finalizers, v1beta1.ServiceFinalizer)
}
