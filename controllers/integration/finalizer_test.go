package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
	"github.com/belfry-lb/belfry/internal/kube"
)

func withFinalizer(o *controllers.Options) { o.ServiceFinalizer = true }

// newSpeaker creates a node with a speaker's Pod and status.
func newSpeaker(t *testing.T, name string) (*corev1.Node, *corev1.Pod, *v1beta1.SpeakerStatus) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "speaker-" + name, Labels: kube.SpeakerPodLabels()},
		Spec:       corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{Name: "speaker", Image: "belfry"}}},
	}
	status := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: name}}
	create(t, node, pod, status)
	t.Cleanup(func() {
		now := client.GracePeriodSeconds(0)
		for _, o := range []client.Object{status, pod, node} {
			must(t, client.IgnoreNotFound(shared.client.Delete(context.Background(), o, now)))
		}
	})
	return node, pod, status
}

func withdraws(t *testing.T, s *v1beta1.SpeakerStatus, of ...client.Object) {
	t.Helper()
	eventually(t, "withdrawing from "+s.Name, func() error {
		get(t, s)
		s.Status.Withdrawn = nil
		for _, o := range of {
			s.Status.Withdrawn = append(s.Status.Withdrawn, string(o.GetUID()))
		}
		return shared.client.Status().Update(t.Context(), s)
	})
}

func isGone(t *testing.T, s *corev1.Service) {
	t.Helper()
	eventually(t, s.Name+" is gone", func() error {
		if err := shared.client.Get(t.Context(), keyOf(s), s); !apierrors.IsNotFound(err) {
			return fmt.Errorf("finalizers %v, %w", s.Finalizers, err)
		}
		return nil
	})
}

// TestServiceFinalizer: a deleted Service stays, and its address with it, until every speaker is silent about it.
func TestServiceFinalizer(t *testing.T) {
	clean(t)
	_, _, one := newSpeaker(t, "fin-1")
	_, _, two := newSpeaker(t, "fin-2")
	create(t, newPool("a", "192.0.2.0"))
	c := start(t, withFinalizer, often)
	s, next := newService("leaves", func(s *corev1.Service) { s.Finalizers = []string{"other.dev/hold"} }), newService("wants-it")
	create(t, s)
	hasAddresses(t, s, "192.0.2.0")
	if want := []string{"other.dev/hold", v1beta1.ServiceFinalizer}; !slices.Equal(s.Finalizers, want) {
		t.Errorf("finalizers %v, want %v", s.Finalizers, want)
	}
	if got := c.net.written()["PATCH services/status"]; got != 1 {
		t.Errorf("%d writes for one assignment", got)
	}
	create(t, next)
	says(t, next, "PoolExhausted", "pool a")
	must(t, shared.client.Delete(t.Context(), s))
	withdraws(t, one, s)
	c.fullPasses(2)
	if get(t, s); !slices.Contains(s.Finalizers, v1beta1.ServiceFinalizer) {
		t.Error("the finalizer went before the second speaker was silent")
	}
	withdraws(t, two, s)
	eventually(t, "only the other's finalizer is left", func() error {
		if get(t, s); !slices.Equal(s.Finalizers, []string{"other.dev/hold"}) {
			return fmt.Errorf("%v", s.Finalizers)
		}
		return nil
	})
	hasReason(t, next, metav1.ConditionFalse, "PoolExhausted")
	edit(t, s, func(s *corev1.Service) { s.Finalizers = nil })
	isGone(t, s)
	hasAddresses(t, next, "192.0.2.0")
}

// TestFinalizerWaitsForNoGhosts: a speaker whose Pod or Node is gone, or that the others miss, counts as silent.
func TestFinalizerWaitsForNoGhosts(t *testing.T) {
	clean(t)
	_, _, alive := newSpeaker(t, "ghost-0")
	_, pod, _ := newSpeaker(t, "ghost-1")
	node, _, _ := newSpeaker(t, "ghost-2")
	_, _, _ = newSpeaker(t, "ghost-3")
	create(t, newPool("a", "192.0.2.8/30"))
	start(t, withFinalizer)
	s := newService("haunted")
	create(t, s)
	hasAddresses(t, s, "192.0.2.8")
	must(t, shared.client.Delete(t.Context(), s))
	withdraws(t, alive, s)
	must(t, shared.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	must(t, shared.client.Delete(t.Context(), node))
	if get(t, s); !slices.Contains(s.Finalizers, v1beta1.ServiceFinalizer) {
		t.Error("the finalizer went while a speaker was not silent")
	}
	eventually(t, "telling who is missing", func() error {
		get(t, alive)
		alive.Status.Members.Missing = []string{"ghost-3"}
		return shared.client.Status().Update(t.Context(), alive)
	})
	isGone(t, s)
}

// TestFinalizerSwitchedOff: Services that got one keep nobody waiting.
func TestFinalizerSwitchedOff(t *testing.T) {
	clean(t)
	newSpeaker(t, "off-1")
	create(t, newPool("a", "192.0.2.16/30"))
	c := start(t, withFinalizer)
	s, other := newService("was-on"), newService("becomes-cluster-ip")
	create(t, s)
	hasAddresses(t, s, "192.0.2.16")
	create(t, other)
	hasAddresses(t, other, "192.0.2.17")
	edit(t, other, func(s *corev1.Service) {
		s.Spec.Type, s.Spec.AllocateLoadBalancerNodePorts = corev1.ServiceTypeClusterIP, nil
	})
	eventually(t, "nothing of ours on a ClusterIP Service", func() error {
		if get(t, other); len(other.Finalizers) > 0 || len(ips(other)) > 0 {
			return fmt.Errorf("%v %v", other.Finalizers, ips(other))
		}
		return nil
	})
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	start(t)
	must(t, shared.client.Delete(t.Context(), s))
	isGone(t, s)
}
