package integration

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// An address that the status of a Service shows is nobody else's, whoever serves that Service.
func TestAddressesOfForeignServicesAreNotHandedOut(t *testing.T) {
	clean(t)
	class := "example.com/other"
	theirs := newService("theirs", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class })
	create(t, newPool("shared-range", "192.0.2.240/31"), theirs)
	theirs.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.240"}}
	must(t, shared.client.Status().Update(t.Context(), theirs))
	start(t)
	first, second := newService("first"), newService("second")
	create(t, first)
	hasAddresses(t, first, "192.0.2.241")
	create(t, second)
	hasReason(t, second, metav1.ConditionFalse, "PoolExhausted")
	must(t, shared.client.Delete(t.Context(), theirs))
	hasAddresses(t, second, "192.0.2.240")
}

// A Service that was ours before the flags changed bears nothing of ours any more, and its address is free.
func TestServicesThatTheFlagsGiveUp(t *testing.T) {
	clean(t)
	create(t, newPool("flags", "192.0.2.244"))
	c := start(t, withFinalizer)
	served, waiting := newService("served"), newService("waiting")
	create(t, served)
	hasAddresses(t, served, "192.0.2.244")
	create(t, waiting)
	hasReason(t, waiting, metav1.ConditionFalse, "PoolExhausted")
	must(t, c.stop())

	start(t, func(o *controllers.Options) { o.Classes.HandleUnclassed = false })
	for _, s := range []*corev1.Service{served, waiting} {
		eventually(t, s.Name+" bears nothing of ours", func() error {
			get(t, s)
			if len(ips(s)) > 0 || s.Annotations[v1beta1.AnnotationAllocatedFrom] != "" || allocated(s).Type != "" || len(s.Finalizers) > 0 {
				return fmt.Errorf("%v %v %+v", s.Finalizers, s.Annotations, s.Status)
			}
			return nil
		})
	}
	hasEvent(t, served, "AddressReleased", "192.0.2.244")
	classed := newService("classed", func(s *corev1.Service) {
		class := controllers.DefaultOptions().Classes.LoadBalancerClass
		s.Spec.LoadBalancerClass = &class
	})
	create(t, classed)
	hasAddresses(t, classed, "192.0.2.244")
}
