//go:build linux

package speakertest

import (
	"context"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/speaker"
)

// PutNamespace makes what every speaker needs.
func (a API) PutNamespace(t testing.TB) {
	t.Helper()
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	must(t, client.IgnoreAlreadyExists(a.Create(context.Background(), o)))
	a.Put(t, GossipKey())
}

// GossipKey is a new one.
func GossipKey() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: kube.GossipSecret},
		Data:       map[string][]byte{kube.GossipSecretKey: kube.NewGossipKey()},
	}
}

// Object is the Kubernetes Node of n.
func (n *Node) Object() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Addr}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// Pod is what the DaemonSet would have made for n.
func (n *Node) Pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "speaker-" + n.Name, Labels: speaker.PodLabels()},
		Spec:       corev1.PodSpec{NodeName: n.Name, HostNetwork: true, Containers: []corev1.Container{{Name: "speaker", Image: "belfry"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: n.Addr, PodIPs: []corev1.PodIP{{IP: n.Addr}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// Pool is a pool of these addresses.
func Pool(name string, addresses ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	return &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressPoolSpec{Addresses: addresses}}
}

// Service is one that the controller has given an address from the pool.
func Service(name, pool, ip string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: name, Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: pool},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(bool), Ports: []corev1.ServicePort{{Port: 80}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: ip}}}},
	}
}

// Endpoints has one ready endpoint on each of the nodes, from the address pod on; a node may be named several times.
func Endpoints(service string, pod netip.Addr, nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	if pod.Is6() {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	ready := true
	for _, n := range nodes {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{pod.String()}, NodeName: &n, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
		pod = pod.Next()
	}
	return s
}
