package e2e

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestServicesSayWhoAnnouncesThem, and if nobody does, why.
func TestServicesSayWhoAnnouncesThem(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "told", "web", "", 80)[0]
	s.answer(a, 80)
	s.AnnouncedByOwner("told", a)
	s.service(1, "unserved", "nobody", "", 80)
	s.Eventually("unserved says why not", func() error {
		c, err := harness.Condition(s.Ctx, k8s, harness.InDefault("unserved"), v1beta1.ConditionAnnounced)
		if err == nil && (c.Status != metav1.ConditionFalse || c.Reason != "NoEndpoints") {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
}

// TestSpeakersAskKubeProxy: the kube-proxy of every node of the lab says that it is healthy.
func TestSpeakersAskKubeProxy(t *testing.T) {
	s := newScene(t)
	s.Eventually("all are healthy", func() error {
		var list v1beta1.SpeakerStatusList
		if err := k8s.List(s.Ctx, &list); err != nil {
			return err
		}
		for _, o := range list.Items {
			if o.Status.Dataplane != "healthy" {
				return fmt.Errorf("%s is %q", o.Name, o.Status.Dataplane)
			}
		}
		if len(list.Items) < 3 {
			return fmt.Errorf("%d speakers", len(list.Items))
		}
		return nil
	})
}
