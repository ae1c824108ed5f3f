package selftest

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// belfry answers for the controller: it changes every Service on its way into the API server.
func belfry(t *testing.T, change func(*corev1.Service), objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := kube.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			err := c.Get(ctx, key, o, opts...)
			if s, ok := o.(*corev1.Service); ok && err == nil {
				change(s)
			}
			return err
		},
	}).Build()
}

func allocated(status metav1.ConditionStatus, reason, message string, ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: "lan"}
		s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAllocated, Status: status, Reason: reason, Message: message}}
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
	}
}

// announced has the controller say so, too.
func announced(message string, ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		allocated("True", "Assigned", "", ips...)(s)
		s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionAnnounced, Status: "True", Reason: "Announced", Message: message})
	}
}

func speaker(node string, ranges ...string) *v1beta1.SpeakerStatus {
	s := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: node}}
	s.Status.L2.Addresses = ranges
	return s
}

func TestRun(t *testing.T) {
	untouched := func(*corev1.Service) {}
	tests := []struct {
		name     string
		change   func(*corev1.Service)
		speakers []client.Object
		says     []string
		fails    string
	}{
		{
			name:     "well",
			change:   announced("by node n1 and node n2", "192.0.2.10", "2001:db8::10"),
			speakers: []client.Object{speaker("n1", "192.0.2.9-192.0.2.11"), speaker("n2", "2001:db8::10", "192.0.2.1")},
			says:     []string{"it has 192.0.2.10 and 2001:db8::10 from lan", "192.0.2.10 is announced by n1\n", "2001:db8::10 is announced by n2\n"},
		},
		{name: "no controller", change: untouched, fails: "no controller has looked at it"},
		{name: "no pool", change: allocated("False", "NoPool", "there is no pool"), fails: "NoPool: there is no pool"},
		{name: "no speaker", change: allocated("True", "Assigned", "", "192.0.2.10"), fails: "no speaker has reported"},
		{
			name: "no advertisement", change: allocated("True", "Assigned", "", "192.0.2.10"), speakers: []client.Object{speaker("n1", "192.0.2.11")},
			fails: "nobody announces 192.0.2.10: 1 speakers run",
		},
		{
			name: "by BGP only", speakers: []client.Object{speaker("n1")}, says: []string{"192.0.2.10 is announced by BGP"},
			change: announced("BGP", "192.0.2.10"),
		},
		{
			name: "the speaker has too many to name", says: []string{"192.0.2.10 is announced by node n1"},
			speakers: []client.Object{func() client.Object { s := speaker("n1"); s.Status.Omitted.L2Addresses = 9; return s }()},
			change:   announced("by node n1", "192.0.2.10"),
		},
		{
			name: "the controller alone says so", speakers: []client.Object{speaker("n1")}, fails: "nobody announces 192.0.2.10",
			change: announced("by node n1", "192.0.2.10"),
		},
		{
			name: "the status of a node that has gone alone says so", speakers: []client.Object{speaker("gone", "192.0.2.10")}, fails: "nobody announces 192.0.2.10",
			change: allocated("True", "Assigned", "", "192.0.2.10"),
		},
		{
			name: "withheld", speakers: []client.Object{speaker("n1")}, fails: "nobody announces 192.0.2.10: NoEndpoint: no Pod is ready",
			change: func(s *corev1.Service) {
				allocated("True", "Assigned", "", "192.0.2.10")(s)
				s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: "belfry.dev/Announced", Reason: "NoEndpoint", Message: "no Pod is ready"})
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := belfry(t, tt.change, tt.speakers...)
			patience := time.Minute
			if tt.fails != "" {
				patience = 2 * look
			}
			var out strings.Builder
			err := Run(t.Context(), c, &out, Options{Namespace: "default", Selector: map[string]string{"a": "b"}, Wait: patience})
			if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%v, want an error about %q", err, tt.fails)
			}
			for _, says := range tt.says {
				if !strings.Contains(out.String(), says) {
					t.Errorf("it said\n%swithout %q", out.String(), says)
				}
			}
			var left corev1.ServiceList
			if err := c.List(t.Context(), &left); err != nil || len(left.Items) > 0 {
				t.Errorf("%d Services are left, %v", len(left.Items), err)
			}
		})
	}
}

func TestService(t *testing.T) {
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u"}
	s := service(Options{Namespace: "ns", Selector: map[string]string{"a": "b"}, Class: "lab/a", Owner: owner})
	if *s.Spec.LoadBalancerClass != "lab/a" || s.Spec.Selector["a"] != "b" || len(s.OwnerReferences) != 1 || s.OwnerReferences[0] != owner || s.Namespace != "ns" {
		t.Errorf("%+v", s)
	}
	if s := service(Options{}); s.Spec.LoadBalancerClass != nil || s.OwnerReferences != nil {
		t.Errorf("without class and owner: %+v", s)
	}
}
