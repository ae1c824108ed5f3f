package integration

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/speaker"
)

// create makes an object, with its status, and takes it away after the test.
func create(t testing.TB, o client.Object) {
	t.Helper()
	ctx := context.Background()
	withStatus := o.DeepCopyObject().(client.Object)
	must(t, api.Create(ctx, o))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(api.Delete(ctx, o, client.GracePeriodSeconds(0)))) })
	switch withStatus.(type) {
	case *corev1.Node, *corev1.Pod, *corev1.Service:
		withStatus.SetResourceVersion(o.GetResourceVersion())
		must(t, api.Status().Patch(ctx, withStatus, client.Merge))
	}
}

func newNamespace(t testing.TB) {
	t.Helper()
	must(t, client.IgnoreAlreadyExists(api.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})))
}

func gossipKey() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: kube.GossipSecret},
		Data:       map[string][]byte{kube.GossipSecretKey: kube.NewGossipKey()},
	}
}

// object is the Kubernetes Node of n.
func (n *node) object() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: n.labels},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

// pod is what the DaemonSet would have made for n.
func (n *node) pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "speaker-" + n.name, Labels: speaker.PodLabels()},
		Spec:       corev1.PodSpec{NodeName: n.name, HostNetwork: true, Containers: []corev1.Container{{Name: "speaker", Image: "belfry"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: n.addr, PodIPs: []corev1.PodIP{{IP: n.addr}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

func pool(name string, addresses ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	return &v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: addresses},
	}
}

func advertisement(name string, pools ...string) *v1beta1.L2Advertisement {
	return &v1beta1.L2Advertisement{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1beta1.L2AdvertisementSpec{IPAddressPools: pools},
	}
}

// service is one that the controller has given an address from the pool.
func service(name, pool, ip string) *corev1.Service {
	none := false
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: pool},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: &none, Ports: []corev1.ServicePort{{Port: 80}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: ip}}}},
	}
}

// endpoints6 is endpoints for a Service with an IPv6 address.
func endpoints6(service string, nodes ...string) *discoveryv1.EndpointSlice {
	s := endpoints(service, nodes...)
	s.AddressType = discoveryv1.AddressTypeIPv6
	for i := range s.Endpoints {
		s.Endpoints[i].Addresses = []string{"2001:db8:ffff::1"}
	}
	return s
}

// endpoints has one ready endpoint on each of the nodes, of IPv4.
func endpoints(service string, nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	ready := true
	for _, n := range nodes {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{"198.51.100.1"}, NodeName: &n, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return s
}
