//go:build soak

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestSoakPowerCut shows how long an address is silent when the node that announces it loses power.
func TestSoakPowerCut(t *testing.T) {
	series(t, 10, func(s *scene, _ int) map[string]time.Duration {
		silence := powerCut(s)
		s.Logf("silent for %d ms; %d connections failed later", silence.Lasted.Milliseconds(), silence.Later)
		return map[string]time.Duration{"silence after a power cut": silence.Lasted}
	})
}

// TestSoakExpose shows how long a user waits for a Service.
func TestSoakExpose(t *testing.T) {
	series(t, 20, func(s *scene, i int) map[string]time.Duration {
		address, connection := expose(s, fmt.Sprintf("timed-%d", i))
		return map[string]time.Duration{
			"kubectl apply → address in status":             address,
			"kubectl apply → first connection from the LAN": connection,
		}
	})
}

// expose makes a Service and returns how long its address took, and how long the first connection from the LAN.
func expose(s *scene, name string) (address, connection time.Duration) {
	began := time.Now()
	a := s.service(1, name, "web", "", 80)[0]
	address = time.Since(began)
	probe := harness.StartProbe(s.ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
	defer probe.Stop()
	s.must(probe.AwaitSuccesses(s.ctx, 1))
	return address, time.Since(began)
}

// series runs a measurement n times, each in a subtest of its own, and logs the spread of its figures.
func series(t *testing.T, n int, measure func(*scene, int) map[string]time.Duration) {
	t.Helper()
	figures := map[string][]time.Duration{}
	for i := range n {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			for what, d := range measure(newScene(t), i) {
				figures[what] = append(figures[what], d)
			}
		})
	}
	for what, all := range figures {
		slices.Sort(all)
		ms := func(i int) int64 { return all[i].Milliseconds() }
		t.Logf("%s: min %d ms, median %d ms, max %d ms over %d", what, ms(0), ms(len(all)/2), ms(len(all)-1), len(all))
	}
}
