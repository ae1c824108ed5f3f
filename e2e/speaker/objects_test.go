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
	"github.com/belfry-lb/belfry/internal/speakertest"
)

// create makes an object, with its status, and takes it away after the test.
func create(t testing.TB, o client.Object) {
	t.Helper()
	api.Put(t, o)
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

const routedPool = "routed"

func pool(addresses ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	return speakertest.Pool(routedPool, addresses...)
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
	o := speakertest.Service(name, routedPool, a.String())
	for _, c := range change {
		c(o)
	}
	return o
}

// endpoints has one ready endpoint of the address's family on each of the nodes; a node may be named several times.
func endpoints(service string, a netip.Addr, nodes ...string) *discoveryv1.EndpointSlice {
	pod := addr("198.51.100.1")
	if a.Is6() {
		pod = addr("2001:db8:ffff::1")
	}
	return speakertest.Endpoints(service, pod, nodes...)
}
