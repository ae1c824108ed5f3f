//go:build soak

package bgp

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// TestSoakEightRouters: what eight routers with two thousand routes each cost in memory, and in CPU while nothing happens.
func TestSoakEightRouters(t *testing.T) {
	f := newFakeRouter(t, func(c *fakeConn) {
		if c.greet(fakeOpen()) == nil {
			c.listen(func(wire.Type, []byte) {})
		}
	})
	d := Desired{Peers: map[string]Peer{}}
	for n := range 8 {
		p := peerOf(f.session()).Peers["r"]
		p.Session.HoldTime, p.Session.KeepaliveTime = 90*time.Second, 30*time.Second
		for i := range 2000 {
			p.Routes[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}), 32)] = Route{}
		}
		name := "r"
		if n > 0 {
			name = fmt.Sprint("r", n)
		}
		d.Peers[name] = p
	}
	r := startRouter(t)
	for up := 0; up < len(d.Peers); {
		running, err := r.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		up = 0
		for _, s := range running.Peers {
			if established(s) && s.Announced == 2000 {
				up++
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	const minute = time.Minute
	before := cpu(t)
	<-time.After(minute)
	spent := cpu(t) - before
	t.Logf("resident %s, CPU %.3f %% of a core over %s", resident(t), 100*spent.Seconds()/minute.Seconds(), minute)
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func resident(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}
