package e2e

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

var exposes = flag.Int("exposes", 1, "how often TestExposeToFirstCurl exposes a Service")

// TestExposeToFirstCurl shows how long a user waits; it asserts only that the page comes.
func TestExposeToFirstCurl(t *testing.T) {
	var address, page []time.Duration
	for i := range *exposes {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) {
			s := newScene(t)
			name := fmt.Sprintf("timed-%d", i)
			began := time.Now()
			a := s.service(1, name, "web", "", 80)[0]
			address = append(address, time.Since(began))
			probe := harness.StartProbe(s.ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
			defer probe.Stop()
			s.must(probe.AwaitSuccesses(s.ctx, 1))
			page = append(page, time.Since(began))
		})
	}
	report(t, "kubectl apply → address in status", address)
	report(t, "kubectl apply → first connection from the LAN", page)
}

// report logs the spread of measurements.
func report(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	ms := func(i int) int64 { return all[i].Milliseconds() }
	t.Logf("%s: min %d ms, median %d ms, max %d ms over %d", what, ms(0), ms(len(all)/2), ms(len(all)-1), len(all))
}
