package integration

import (
	"net/netip"
	"testing"

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

func advertisement(name string, pools ...string) *v1beta1.L2Advertisement {
	return &v1beta1.L2Advertisement{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1beta1.L2AdvertisementSpec{IPAddressPools: pools},
	}
}

// endpoints has one ready endpoint on each of the nodes, of IPv4.
func endpoints(service string, nodes ...string) *discoveryv1.EndpointSlice {
	return speakertest.Endpoints(service, netip.MustParseAddr("198.51.100.1"), nodes...)
}

// endpoints6 is endpoints for a Service with an IPv6 address.
func endpoints6(service string, nodes ...string) *discoveryv1.EndpointSlice {
	return speakertest.Endpoints(service, netip.MustParseAddr("2001:db8:ffff::1"), nodes...)
}
