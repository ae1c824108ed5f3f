package liveness

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCost is the share of a core that the probes cost one node: it probes some others and is probed by as many. Three is
// the average in a cluster of any size, seven the most of one node in a simulation of 100. An operation is a second.
func BenchmarkCost(b *testing.B) {
	for _, p := range []Profile{ProfileFast, ProfileDefault, ProfileRelaxed} {
		for _, targets := range []int{3, 7} {
			b.Run(fmt.Sprintf("%s/%d", p, targets), func(b *testing.B) {
				nodes := make([]*node, targets+1) // each probes all others
				for i := range nodes {
					nodes[i] = start(b, fmt.Sprint("n", i), address(i), func(o *Options) { o.Profile = p })
				}
				for i, n := range nodes {
					others := map[string]netip.AddrPort{}
					for k := range nodes {
						if k != i {
							others[fmt.Sprint("n", k)] = address(k)
						}
					}
					n.SetTargets(others)
				}
				for _, n := range nodes {
					for k := range nodes {
						if name := fmt.Sprint("n", k); name != n.opts.Name {
							n.becomes(b, name, Answering)
						}
					}
				}
				sent := func() (sum float64) {
					for _, n := range nodes {
						sum += value(b, n.metrics.replies)
					}
					return sum
				}
				began, before, replies := time.Now(), cpu(), sent()
				second := time.NewTicker(time.Second)
				defer second.Stop()
				for b.Loop() {
					<-second.C
				}
				took := time.Since(began).Seconds() * float64(len(nodes))
				b.ReportMetric(100*(cpu()-before).Seconds()/took, "%core")
				b.ReportMetric((sent()-replies)/took, "probes/s")
			})
		}
	}
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
