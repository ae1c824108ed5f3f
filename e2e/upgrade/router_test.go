package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// The networks whose addresses clients reach through the router alone.
const (
	routed4 = "203.0.113.0/28"
	routed6 = "2001:db8:71::/120"
)

// routed is what docs/bgp tells people to have: graceful restart, and BFD, with timers that a very busy node can keep.
const routed = `apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: routed}
spec:
  addresses: [` + routed4 + `, "` + routed6 + `"]
  autoAssign: false
---
apiVersion: belfry.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: routed}
spec:
  ipAddressPools: [routed]
---
apiVersion: belfry.dev/v1beta1
kind: BFDProfile
metadata: {name: busy}
spec: {receiveInterval: 1000, transmitInterval: 1000, detectMultiplier: 20}
---
apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: router}
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: %s
  dualStackAddressFamily: true
  enableGracefulRestart: true
  gracefulRestartTime: 60s
  bfdProfile: busy
`

// frr is the first configuration of docs/bgp/frr.md, with the BFD of the last one, and told to take the end of BFD for a
// restart, as docs/bfd.md has it.
const frr = `bfd
 profile belfry
  receive-interval 1000
  transmit-interval 1000
  detect-multiplier 20
 !
!
router bgp 64501
 bgp router-id 192.168.1.1
 bgp bestpath as-path multipath-relax
 neighbor nodes peer-group
 neighbor nodes remote-as 64500
 neighbor nodes bfd
 neighbor nodes bfd profile belfry
 neighbor nodes bfd check-control-plane-failure
 bgp listen range %s peer-group nodes
 address-family ipv4 unicast
  neighbor nodes activate
  neighbor nodes route-map services in
  neighbor nodes route-map nothing out
  maximum-paths 8
 exit-address-family
 address-family ipv6 unicast
  neighbor nodes activate
  neighbor nodes route-map services in
  neighbor nodes route-map nothing out
  maximum-paths 8
 exit-address-family
!
ip prefix-list services seq 5 permit ` + routed4 + ` ge 32
ipv6 prefix-list services seq 5 permit ` + routed6 + ` ge 128
route-map services permit 10
 match ip address prefix-list services
route-map services permit 20
 match ipv6 address prefix-list services
route-map nothing deny 10
`

// route puts a router before the nodes, and has the client reach the routed networks through it.
func route(s *harness.Scene) {
	s.Helper()
	r, c := s.Lab.Router(1), s.Lab.Client(1)
	daemons, err := r.FRR(s.Ctx, fmt.Sprintf(frr, s.Lab.LAN4()))
	s.Must(err)
	s.Cleanup(daemons.Kill)
	s.Cleanup(func() {
		if text, err := daemons.Log(); s.Failed() && err == nil {
			s.Logf("the router's log:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	for network, via := range map[string]netip.Addr{routed4: r.V4(), routed6: r.V6()} {
		_, err := c.Exec(s.Ctx, "ip", "route", "replace", network, "via", via.String())
		s.Must(err)
		s.Later(patience, func(ctx context.Context) error {
			_, err := c.Exec(ctx, "ip", "route", "del", network)
			return err
		})
	}
	s.Apply(fmt.Sprintf(routed, r.V4()))
}

// established waits until every node has a session with the router that BFD watches and that survives a restart.
func established(s *harness.Scene) {
	s.Helper()
	for _, n := range s.Lab.Nodes() {
		s.Eventually("the session of "+n.Name(), func() error {
			var o v1beta1.SpeakerStatus
			if err := s.K8s.Get(s.Ctx, client.ObjectKey{Name: n.Name()}, &o); err != nil {
				return err
			}
			if !slices.ContainsFunc(o.Status.BGP.Peers, lasting) {
				return fmt.Errorf("peers are %+v", o.Status.BGP.Peers)
			}
			return nil
		})
	}
}

func lasting(p v1beta1.SpeakerPeer) bool {
	return p.State == v1beta1.SessionEstablished && p.BFD != nil && p.BFD.State == "Up" && len(p.GracefulRestart) == 2
}

// throughAll waits until the router's kernel has a path over each node to an address.
func throughAll(s *harness.Scene, a netip.Addr) {
	s.Helper()
	s.Eventually("paths to "+a.String(), func() error {
		got, err := paths(s, a)
		if err == nil && len(got) != len(s.Lab.Nodes()) {
			err = fmt.Errorf("they are %v", got)
		}
		return err
	})
}

// paths are the gateways of an address in the router's kernel.
func paths(s *harness.Scene, a netip.Addr) (all []string, err error) {
	family := "-4"
	if a.Is6() {
		family = "-6"
	}
	out, err := s.Lab.Router(1).Exec(s.Ctx, "ip", family, "-j", "route", "show", netip.PrefixFrom(a, a.BitLen()).String())
	if err != nil {
		return nil, err
	}
	var routes []struct{ Nexthops []struct{ Gateway string } }
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("reading %q: %w", out, err)
	}
	for _, r := range routes {
		for _, h := range r.Nexthops {
			all = append(all, h.Gateway)
		}
	}
	return all, nil
}

// touched are the lines of `ip monitor route` that tell of an address.
func touched(changes string, a netip.Addr) (lines []string) {
	for l := range strings.Lines(changes) {
		if slices.Contains(strings.Fields(l), a.String()) {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines
}
