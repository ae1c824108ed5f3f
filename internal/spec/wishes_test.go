package spec

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWishes: ours win over MetalLB's, its name of today over the one before, and what makes no sense is told.
func TestWishes(t *testing.T) {
	type wishes struct{ Pool, IPs, Sharing, Reservation, Reallocate string }
	for _, c := range []struct {
		name        string
		annotations []string // name, value, …
		ip          string   // spec.loadBalancerIP
		want        wishes
		bad         string // words of BadWish
	}{
		{name: "none"},
		{
			name:        "ours",
			annotations: []string{"belfry.dev/pool", "a", "belfry.dev/ips", "192.0.2.7, 2001:db8::7,192.0.2.8", "belfry.dev/sharing-key", "k", "belfry.dev/reallocate", "1"},
			want:        wishes{Pool: "a", IPs: "192.0.2.7 2001:db8::7 192.0.2.8", Sharing: "k", Reallocate: "1"},
		},
		{
			name:        "MetalLB's",
			annotations: []string{"metallb.io/address-pool", "a", "metallb.io/loadBalancerIPs", "192.0.2.7,2001:db8::7", "metallb.io/allow-shared-ip", "k"},
			want:        wishes{Pool: "a", IPs: "192.0.2.7 2001:db8::7", Sharing: "k"},
		},
		{
			name:        "MetalLB's of old",
			annotations: []string{"metallb.universe.tf/address-pool", "a", "metallb.universe.tf/loadBalancerIPs", "192.0.2.7", "metallb.universe.tf/allow-shared-ip", "k"},
			want:        wishes{Pool: "a", IPs: "192.0.2.7", Sharing: "k"},
		},
		{
			name:        "the newer name wins",
			annotations: []string{"metallb.universe.tf/address-pool", "old", "metallb.io/address-pool", "new"},
			want:        wishes{Pool: "new"},
		},
		{
			name:        "ours win",
			annotations: []string{"metallb.io/address-pool", "b", "belfry.dev/pool", "a", "metallb.io/loadBalancerIPs", "nonsense", "belfry.dev/ips", "192.0.2.7", "metallb.io/allow-shared-ip", "k", "belfry.dev/sharing-key", ""},
			want:        wishes{Pool: "a", IPs: "192.0.2.7"},
		},
		{name: "twice the same address", annotations: []string{"belfry.dev/ips", "192.0.2.7,192.0.2.7"}, want: wishes{IPs: "192.0.2.7"}},
		{name: "loadBalancerIP", ip: "192.0.2.7", want: wishes{IPs: "192.0.2.7"}},
		{name: "loadBalancerIP agrees", ip: "192.0.2.7", annotations: []string{"belfry.dev/ips", "2001:db8::7,192.0.2.7"}, want: wishes{IPs: "2001:db8::7 192.0.2.7"}},
		{
			name: "loadBalancerIP disagrees", ip: "192.0.2.7", annotations: []string{"metallb.io/loadBalancerIPs", "192.0.2.8"},
			bad: "spec.loadBalancerIP asks for 192.0.2.7, but annotation metallb.io/loadBalancerIPs for 192.0.2.8",
		},
		{name: "loadBalancerIP is none", ip: "web.example.org", bad: `spec.loadBalancerIP: "web.example.org" is no address`},
		{name: "no address", annotations: []string{"belfry.dev/ips", "192.0.2.7, x"}, bad: `annotation belfry.dev/ips: "x" is no address`},
		{name: "an address with a zone", annotations: []string{"belfry.dev/ips", "fe80::1%eth0"}, bad: `"fe80::1%eth0" is no address`},
		{name: "a range", annotations: []string{"metallb.io/loadBalancerIPs", "192.0.2.0/28"}, bad: `annotation metallb.io/loadBalancerIPs: "192.0.2.0/28" is no address`},
		{name: "a reservation", annotations: []string{"belfry.dev/reservation", "r"}, want: wishes{Reservation: "r"}},
		{
			name: "a reservation and a pool", annotations: []string{"belfry.dev/reservation", "r", "belfry.dev/pool", "a"},
			want: wishes{Reservation: "r", Pool: "a"}, bad: "but pool a is asked for",
		},
		{
			name: "a reservation and an address", annotations: []string{"belfry.dev/reservation", "r"}, ip: "192.0.2.7",
			want: wishes{Reservation: "r", IPs: "192.0.2.7"}, bad: "but 192.0.2.7 is asked for by name",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}, Spec: corev1.ServiceSpec{LoadBalancerIP: c.ip}}
			for i := 0; i < len(c.annotations); i += 2 {
				o.Annotations[c.annotations[i]] = c.annotations[i+1]
			}
			s := ParseService(&o)
			got := wishes{s.WantPool, words(s.WantIPs), s.SharingKey, s.Reservation, s.Reallocate}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if (s.BadWish == "") != (c.bad == "") || !strings.Contains(s.BadWish, c.bad) {
				t.Errorf("bad wish %q, want %q", s.BadWish, c.bad)
			}
		})
	}
}

func words(ips []netip.Addr) string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, " ")
}
