package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/belfry-lb/belfry/internal/kube"
)

// TestUsedByCluster: every source counts, and what no source tells is known to be missing.
func TestUsedByCluster(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}}}
	withPods := node.DeepCopy()
	withPods.Spec.PodCIDRs = []string{"10.244.0.0/24"}
	cidr := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/12"}}}
	for _, tc := range []struct {
		name    string
		served  bool // the kind ServiceCIDR
		objects []client.Object
		options Options
		want    []string // ranges
		unknown []string
	}{
		{"everything is told", true, []client.Object{withPods, cidr}, Options{}, []string{"10.96.0.0-10.111.255.255", "10.244.0.0-10.244.0.255", "192.0.2.1"}, nil},
		{"an older Kubernetes", false, []client.Object{withPods}, Options{}, []string{"10.244.0.0-10.244.0.255", "192.0.2.1"}, []string{"Service CIDRs are not known, because ServiceCIDR is not served: pools are not checked against them; give --service-cidrs, in the chart controller.serviceCIDRs"}},
		{"a CNI that keeps its CIDRs elsewhere", true, []client.Object{node, cidr}, Options{}, []string{"10.96.0.0-10.111.255.255", "192.0.2.1"}, []string{"pod CIDRs are not known, because no Node has spec.podCIDRs: pools are not checked against them; give --pod-cidrs, in the chart controller.podCIDRs"}},
		{
			"flags", false, []client.Object{node}, Options{ServiceCIDRs: []string{"10.0.0.0/24"}, PodCIDRs: []string{"fd00::/112"}},
			[]string{"10.0.0.0-10.0.0.255", "192.0.2.1", "fd00::-fd00::ffff"}, nil,
		},
		{"nothing", false, nil, Options{}, nil, []string{"Service CIDRs are not known, because ServiceCIDR is not served: pools are not checked against them; give --service-cidrs, in the chart controller.serviceCIDRs", "pod CIDRs are not known, because no Node has spec.podCIDRs: pools are not checked against them; give --pod-cidrs, in the chart controller.podCIDRs"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scheme, err := kube.NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			mapper := meta.NewDefaultRESTMapper(nil)
			if tc.served {
				mapper.Add(networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR"), meta.RESTScopeRoot)
			}
			u, err := newUsedByCluster(fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.objects...).Build(), mapper, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			used, err := u.addresses(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got, unknown []string
			for _, x := range used {
				got = append(got, x.Range.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			gaps, err := u.gaps(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range gaps {
				unknown = append(unknown, g.String())
			}
			if diff := cmp.Diff(tc.unknown, unknown); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []Options{{ServiceCIDRs: []string{"10.0.0.1/8"}}, {PodCIDRs: []string{"x"}}} {
		if _, err := newUsedByCluster(nil, meta.NewDefaultRESTMapper(nil), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
