package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/router"
)

// TestAttributes: all that an advertisement can say of a route arrives, at FRR over eBGP and at BIRD over iBGP, with the
// aggregates beside the addresses. Without the Community that names one of the communities there are no routes at all.
func TestAttributes(t *testing.T) {
	four, six, med, both := int32(24), int32(64), int64(50), true
	l := newScene(t, func(s *v1beta1.BGPAdvertisementSpec) {
		s.AggregationLength, s.AggregationLengthV6, s.AggregateOnly = &four, &six, new(bool)
		s.LocalPref, s.MED, s.ASPathPrepend = 250, &med, 2
		s.Communities = []string{"regional", "65000:7", "no-export", "rt:65000:9", "soo:192.0.2.1:3"}
	})
	regional := func() *v1beta1.Community {
		c := &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "provider"}, Spec: v1beta1.CommunitySpec{
			Communities: []v1beta1.CommunityAlias{{Name: "regional", Value: "large:4200000000:1:2"}},
		}}
		create(t, c)
		return c
	}
	named := regional()
	a6 := addr("2001:db8:71::7")
	create(t, endpoints("six", a6, "n1"))
	create(t, service("six", a6))
	dual := func(s *v1beta1.BGPPeerSpec) { s.DualStackAddressFamily = &both }
	create(t, bgpPeer("r1", router1, dual))
	create(t, bgpPeer("r2", router2, dual, func(s *v1beta1.BGPPeerSpec) { s.PeerASN = 64512 }))
	one, two := newGateway(t, l, "r1", router1+"/24", "fd09::101/64"), newGateway(t, l, "r2", router2+"/24", "fd09::102/64")
	frr := one.frr(frrConfig([]string{node1}) + " address-family ipv6 unicast\n  neighbor " + node1 + " activate\n exit-address-family\n")
	bird := two.bird(`router id 198.51.100.2;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol bgp n1 { local 10.9.0.102 as 64512; neighbor 10.9.0.1 as 64512; direct; connect retry time 1; error wait time 1, 2; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
`)
	n := newNode(t, l, "n1", node1+"/24", "fd09::1/64")
	n.serve(web)
	n.up()
	aggregates := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:71::/64")}
	for _, p := range append([]netip.Prefix{host(web), host(a6)}, aggregates...) {
		hop := map[bool]string{true: node1, false: "fd09::1"}[p.Addr().Is4()]
		one.has(p, hop)
		two.has(p, hop)
		heardByFRR(t, frr, p)
		heardByBIRD(t, bird, p)
	}
	for _, r := range []*gateway{one, two} {
		eventually(t, "an answer by way of the router", func() error {
			if who, err := ask(r.Host, web); err != nil || who != "n1" {
				return fmt.Errorf("%q, %w", who, err)
			}
			return nil
		})
	}

	before := []v1beta1.SpeakerPeer{n.says("r1", "it is established", established), n.says("r2", "it is established", established)}
	remove(t, named)
	for _, p := range append(aggregates, host(web), host(a6)) {
		one.has(p)
		two.has(p)
	}
	regional()
	one.has(host(web), node1)
	two.has(host(web), node1)
	heardByFRR(t, frr, host(web))
	for i, name := range []string{"r1", "r2"} {
		if now := n.peer(name); !established(now) || !now.Since.Equal(before[i].Since) {
			t.Errorf("the session with %s was %+v, is %+v", name, before[i], now)
		}
	}
}

func heardByFRR(t *testing.T, f *router.FRR, p netip.Prefix) {
	t.Helper()
	family := map[bool]string{true: "ipv4", false: "ipv6"}[p.Addr().Is4()]
	eventually(t, "FRR has heard all of "+p.String(), func() error {
		var heard struct {
			Paths []struct {
				ASPath            struct{ String string }
				Metric            int
				Community         struct{ String string }
				LargeCommunity    struct{ String string }
				ExtendedCommunity struct{ String string }
			}
		}
		if err := f.JSON(t.Context(), "show bgp "+family+" unicast "+p.String(), &heard); err != nil {
			return err
		}
		var got []string
		for _, h := range heard.Paths {
			got = append(got, fmt.Sprintf("%s; %d; %s; %s; %s", h.ASPath.String, h.Metric, h.Community.String, h.LargeCommunity.String, h.ExtendedCommunity.String))
		}
		if want := "64512 64512 64512; 50; 65000:7 no-export; 4200000000:1:2; RT:65000:9 SoO:192.0.2.1:3"; strings.Join(got, "|") != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

func heardByBIRD(t *testing.T, b *router.BIRD, p netip.Prefix) {
	t.Helper()
	eventually(t, "BIRD has heard all of "+p.String(), func() error {
		out, err := b.Show(t.Context(), "route "+p.String()+" all")
		if err == nil && !containsAll(out, "BGP.as_path: \n", "BGP.local_pref: 250", "BGP.med: 50", "(65000,7) (65535,65281)",
			"(4200000000, 1, 2)", "(rt, 65000, 9)", "(ro, 192.0.2.1, 3)") {
			err = errors.New(out)
		}
		return err
	})
}
