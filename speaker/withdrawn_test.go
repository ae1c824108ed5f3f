package speaker

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
)

func leavingService(name, address string, change ...func(*corev1.Service)) *corev1.Service {
	now := metav1.Now()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name), DeletionTimestamp: &now,
			Finalizers:  []string{v1beta1.ServiceFinalizer},
			Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "lan"},
		},
		Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

// TestWithdrawn: of the Services that wait for it, the speaker lists those about which it is truly silent.
func TestWithdrawn(t *testing.T) {
	class := "other.example/lb"
	objects := []client.Object{
		leavingService("silent", "192.0.2.1"),
		leavingService("lingers", "192.0.2.2"),
		leavingService("shared", "192.0.2.3"),
		leavingService("foreign", "192.0.2.4", func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class }),
		leavingService("waits-for-others", "192.0.2.5", func(s *corev1.Service) { s.Finalizers = []string{"other.dev/hold"} }),
		leavingService("stays", "192.0.2.6", func(s *corev1.Service) { s.DeletionTimestamp = nil }),
	}
	p := &passer{
		o:       Options{Node: "n1", ServiceFinalizer: true},
		gather:  newGatherer(nil, catalogOf(t, objects...)),
		running: l2.Running{Addresses: map[netip.Addr][]string{}},
		routing: &fakeRouters{},
	}
	for _, a := range []string{"192.0.2.2", "192.0.2.3"} { // one engine has not let go; the other address is another Service's, too
		p.running.Addresses[netip.MustParseAddr(a)] = []string{"eth0"}
	}
	should := plan.Plan{L2: map[netip.Addr]plan.Saying{netip.MustParseAddr("192.0.2.3"): {Role: plan.Answer}}}
	if got := p.withdrawn(should); !slices.Equal(got, []string{"shared", "silent"}) {
		t.Errorf("withdrawn %v", got)
	}
	p.o.ServiceFinalizer = false
	if got := p.withdrawn(should); got != nil {
		t.Errorf("withdrawn %v, though nobody asks", got)
	}
}
