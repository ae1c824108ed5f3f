//go:build linux

package cluster

import (
	"fmt"
	"strings"
	"testing"
)

// testRouters runs one daemon of each kind: a route that BIRD announces is in the kernel of FRR's host, which forwards.
func testRouters(t *testing.T, c *Cluster) {
	r1, r2 := c.Router(1), c.Router(2)
	target := c.Node(1)
	frr, err := r1.FRR(t.Context(), fmt.Sprintf("router bgp 64601\n no bgp ebgp-requires-policy\n neighbor %s remote-as 64602\n neighbor %[1]s timers connect 1\n", r2.V4()))
	if err != nil {
		t.Fatal(err)
	}
	bird, err := r2.BIRD(t.Context(), fmt.Sprintf(`router id %[1]s;
protocol device {}
protocol static { ipv4; route 203.0.113.0/24 via %[2]s; }
protocol kernel { ipv4 { export all; }; }
protocol bgp { local %[1]s as 64602; neighbor %[3]s as 64601; connect retry time 1; ipv4 { import none; export all; next hop self; }; }
`, r2.V4(), target.V4(), r1.V4()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "BIRD's route in the kernel of r1", func() bool {
		out, err := r1.Exec(t.Context(), "ip", "route", "show", "203.0.113.0/24")
		return err == nil && strings.Contains(string(out), "via "+r2.V4().String())
	})
	for _, args := range [][]string{
		{"ip", "addr", "add", "203.0.113.5/32", "dev", "lo"},
		{"ip", "route", "add", "203.0.113.0/24", "via", r1.V4().String()},
	} {
		host := c.Client(1)
		if args[1] == "addr" {
			host = target
		}
		if _, err := host.Exec(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the kubelet of n1, through both routers", func() bool {
		conn, err := c.Client(1).Dial(t.Context(), "tcp", "203.0.113.5:10250")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	frr.Kill()
	bird.Kill()
	if _, err := bird.Show(t.Context(), "status"); err == nil {
		t.Error("BIRD answers after its end")
	}
}
