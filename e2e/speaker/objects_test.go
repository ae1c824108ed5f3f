package speaker

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

// edit changes an object as it is in the API server.
func edit[T client.Object](t testing.TB, o T, change func(T)) {
	t.Helper()
	ctx := context.Background()
	must(t, api.Get(ctx, client.ObjectKeyFromObject(o), o))
	before := o.DeepCopyObject().(client.Object)
	change(o)
	must(t, api.Patch(ctx, o, client.MergeFrom(before)))
}

func remove(t testing.TB, o client.Object) {
	t.Helper()
	must(t, api.Delete(context.Background(), o, client.GracePeriodSeconds(0)))
}

// newNamespace makes what every speaker needs.
func newNamespace(t testing.TB) {
	t.Helper()
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	must(t, client.IgnoreAlreadyExists(api.Create(context.Background(), o)))
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: kube.GossipSecret},
		Data:       map[string][]byte{kube.GossipSecretKey: kube.NewGossipKey()},
	})
}

// object is the Kubernetes Node of n.
func (n *node) object() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: n.labels},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.addr}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// pod is what the DaemonSet would have made for n.
func (n *node) pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "speaker-" + n.name, Labels: speaker.PodLabels()},
		Spec:       corev1.PodSpec{NodeName: n.name, HostNetwork: true, Containers: []corev1.Container{{Name: "speaker", Image: "belfry"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: n.addr, PodIPs: []corev1.PodIP{{IP: n.addr}}},
	}
}

const routedPool = "routed"

func pool(addresses ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	return &v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: routedPool}, Spec: v1beta1.IPAddressPoolSpec{Addresses: addresses},
	}
}

func advertisement(change ...func(*v1beta1.BGPAdvertisementSpec)) *v1beta1.BGPAdvertisement {
	a := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: routedPool}, Spec: v1beta1.BGPAdvertisementSpec{IPAddressPools: []string{routedPool}}}
	for _, c := range change {
		c(&a.Spec)
	}
	return a
}

// bgpPeer is a router that is tried often: nodes have AS 64512, routers AS 64513 unless that is changed.
func bgpPeer(name, address string, change ...func(*v1beta1.BGPPeerSpec)) *v1beta1.BGPPeer {
	p := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.BGPPeerSpec{
		MyASN: 64512, PeerASN: 64513, PeerAddress: v1beta1.Address(address), ConnectTime: seconds(1),
	}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func bfdProfile(name string, milliseconds, multiplier int32) *v1beta1.BFDProfile {
	return &v1beta1.BFDProfile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.BFDProfileSpec{
		ReceiveInterval: &milliseconds, TransmitInterval: &milliseconds, DetectMultiplier: &multiplier,
	}}
}

// service is one that the controller has given an address.
func service(name string, a netip.Addr, change ...func(*corev1.Service)) *corev1.Service {
	o := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: routedPool},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(bool), Ports: []corev1.ServicePort{{Port: 80}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: a.String()}}}},
	}
	for _, c := range change {
		c(o)
	}
	return o
}

// endpoints has one ready endpoint of the address's family on each of the nodes; a node may be named several times.
func endpoints(service string, a netip.Addr, nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	pod := netip.MustParseAddr("198.51.100.1")
	if a.Is6() {
		s.AddressType, pod = discoveryv1.AddressTypeIPv6, netip.MustParseAddr("2001:db8:ffff::1")
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
