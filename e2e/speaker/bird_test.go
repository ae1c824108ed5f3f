package speaker

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestBIRD: two nodes before a BIRD, in both families over one session each. One is drained and comes back, the other is killed.
func TestBIRD(t *testing.T) {
	l := newScene(t)
	six := addr("2001:db8:71::7")
	create(t, endpoints("six", six, "n1", "n2"))
	create(t, service("six", six))
	both := true
	create(t, bgpPeer("r1", router1, holding(9), func(s *v1beta1.BGPPeerSpec) { s.DualStackAddressFamily = &both }))
	r := newGateway(t, l, "r1", router1+"/24", "fd09::101/64")
	bird := r.bird(`router id 198.51.100.1;
protocol device {}
protocol kernel { merge paths on; ipv4 { export all; }; }
protocol kernel { merge paths on; ipv6 { export all; }; }
template bgp node { local 10.9.0.101 as 64513; connect retry time 1; error wait time 1, 2; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
protocol bgp n1 from node { neighbor 10.9.0.1 as 64512; }
protocol bgp n2 from node { neighbor 10.9.0.2 as 64512; }
`)
	n1, n2 := newNode(t, l, "n1", node1+"/24", "fd09::1/64"), newNode(t, l, "n2", node2+"/24", "fd09::2/64")
	n1.start()
	n2.up()
	r.has(host(web), node1, node2)
	r.has(host(six), "fd09::1", "fd09::2")
	routes := r.watch()

	drain := func(n *node, value *string) {
		t.Helper()
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
		edit(t, o, func(o *corev1.Node) {
			if value == nil {
				delete(o.Annotations, v1beta1.Drain)
				return
			}
			o.Annotations = map[string]string{v1beta1.Drain: *value}
		})
	}
	drain(n1, new(string))
	eventually(t, "BIRD is asked to prefer the other node", func() error {
		out, err := bird.Show(t.Context(), "route "+host(web).String()+" all")
		if err == nil && !containsAll(out, "(65535,0)") {
			err = errors.New(out)
		}
		return err
	})
	r.has(host(web), node2)
	r.has(host(six), "fd09::2")
	n1.says("r1", "it is drained", func(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionIdle && p.Reason == "NodeDraining" })
	drain(n1, nil)
	r.has(host(web), node1, node2)
	_ = n2.Stop(unix.SIGKILL)
	r.has(host(web), node1)
	for len(routes) > 0 {
		if e := <-routes; e.gone {
			t.Errorf("there was a time without a path: %+v", e)
		}
	}
}
