//go:build soak

package e2e

import (
	"context"
	"fmt"
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
		address, page := expose(s, fmt.Sprintf("timed-%d", i))
		return map[string]time.Duration{
			"kubectl expose → address in status":       address,
			"kubectl expose → first page from the LAN": page,
		}
	})
}

// expose runs kubectl expose and returns how long the address took, and how long the first page from the LAN.
func expose(s *scene, name string) (address, page time.Duration) {
	began := time.Now()
	s.Kubectl("expose", "deployment", "web", "--name", name, "--type", "LoadBalancer", "--port", "80", "--target-port", "8080")
	s.Cleanup(func() {
		if _, err := harness.Kubectl(context.Background(), lab, nil, "delete", "service", name); err != nil {
			s.Error(err)
		}
	})
	a := s.Addresses(name, 1)[0]
	address = time.Since(began)
	s.answer(a, 80)
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
