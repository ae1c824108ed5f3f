package budget

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

const routed = `apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: routed}
spec: {addresses: [203.0.113.0/28], autoAssign: false}
---
apiVersion: belfry.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: routed}
spec: {ipAddressPools: [routed]}
---
apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: r1}
spec: {myASN: 64512, peerASN: 64601, peerAddress: %s, holdTime: 9s, connectTime: 1s}
`

// testFlap counts while a router closes one node's session and takes it up again.
func testFlap(s *harness.Scene) {
	frr, err := s.Lab.Router(1).FRR(s.Ctx, neighbours(s))
	s.Must(err)
	s.Cleanup(frr.Kill)
	s.Apply(fmt.Sprintf(routed, s.Lab.Router(1).V4()))
	s.Apply(strings.Replace(harness.Service("routed", "web", "", 80), "metadata:", "metadata:\n  annotations: {belfry.dev/pool: routed}", 1))
	s.Addresses("routed", 1)
	for n := range s.Lab.Nodes() {
		established(s, n+1, -1)
	}
	if _, _, err := begin(s).settled(s.Ctx); err != nil {
		s.Fatal(err)
	}
	flaps := session(s, 1).Flaps
	l := begin(s)
	s.Must(frr.Configure(s.Ctx, "router bgp 64601", "neighbor "+s.Lab.Node(1).V4().String()+" shutdown"))
	s.Must(frr.Configure(s.Ctx, "router bgp 64601", "no neighbor "+s.Lab.Node(1).V4().String()+" shutdown"))
	established(s, 1, flaps)
	l.end(s, mostForAFlap)
}

// neighbours is the configuration of a router that speaks to all nodes.
func neighbours(s *harness.Scene) string {
	var c strings.Builder
	c.WriteString("router bgp 64601\n bgp router-id 10.255.0.1\n no bgp ebgp-requires-policy\n")
	for _, n := range s.Lab.Nodes() {
		fmt.Fprintf(&c, " neighbor %[1]s remote-as 64512\n neighbor %[1]s timers connect 1\n", n.V4())
	}
	return c.String()
}

// established waits until a node has a session, another one than when it had flapped so often.
func established(s *harness.Scene, node int, flaps int32) {
	s.Helper()
	s.Eventually(fmt.Sprintf("a session of n%d", node), func() error {
		if p := session(s, node); p.State != v1beta1.SessionEstablished || p.Flaps <= flaps {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func session(s *harness.Scene, node int) v1beta1.SpeakerPeer {
	s.Helper()
	var o v1beta1.SpeakerStatus
	s.Must(s.K8s.Get(s.Ctx, types.NamespacedName{Name: fmt.Sprintf("n%d", node)}, &o))
	if len(o.Status.BGP.Peers) == 0 {
		return v1beta1.SpeakerPeer{}
	}
	return o.Status.BGP.Peers[0]
}
