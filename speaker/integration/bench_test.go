package integration

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

const (
	benchServices = 10_000
	benchRate     = 100 // endpoint updates a second
)

// BenchmarkEndpointUpdates has a speaker, built without the race detector, follow 100 endpoint updates a second among 10,000
// Services. An operation is a second. It reports the speaker's share of a core, for updates that leave the set of nodes that can
// serve as it is (idle), for those that change it (moving), the time from such an update's acceptance by the API server until a
// neighbour is answered, and the memory that is resident: its own, and pages of the program's file.
func BenchmarkEndpointUpdates(b *testing.B) {
	program := filepath.Join(b.TempDir(), "belfry")
	must(b, speakertest.Build(program, false))
	s, l := newSite(b)
	l.Join(s.asker.Host, "asker", "10.82.0.9/16")
	n := newNode(b, l, s.api, "bench", "10.82.0.1/16")
	n.Program, s.nodes = program, []*node{n}
	create(b, speakertest.Pool("bench", "10.82.128.0-10.82.191.255"))
	create(b, advertisement("bench", "bench"))
	populate(b, api)
	s.up()
	eventuallyWithin(b, 5*time.Minute, "every second Service is announced", func() bool { return n.metric("belfry_l2_addresses") == benchServices/2 })
	turn := 0
	for _, kind := range []string{"idle", "moving"} {
		b.Run(kind, func(b *testing.B) {
			before, began, passes := n.CPU(), time.Now(), n.metric(passesMade)
			var took []time.Duration
			for b.Loop() {
				turn++
				took = append(took, churn(b, api, s, turn, kind == "moving"))
			}
			lasted := time.Since(began).Seconds()
			slices.Sort(took)
			b.ReportMetric(100*(n.CPU()-before).Seconds()/lasted, "%core")
			b.ReportMetric((n.metric(passesMade)-passes)/lasted, "passes/s")
			b.ReportMetric(float64(n.Memory("RssAnon"))/1024, "MiB-own")
			b.ReportMetric(float64(n.Memory("RssFile"))/1024, "MiB-file")
			if kind == "moving" {
				b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "reaction-median-ms")
				b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "reaction-most-ms")
			}
		})
	}
}

func benchName(i int) string { return fmt.Sprintf("bench-%05d", i) }

func benchAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 82, byte(128 + i>>8), byte(i)}) }

// populate makes Services with externalTrafficPolicy Local: every second one has a pod on the node.
func populate(b *testing.B, c client.Client) {
	b.Helper()
	ctx := context.Background()
	var work errgroup.Group
	work.SetLimit(32)
	for i := range benchServices {
		work.Go(func() error {
			o := speakertest.Service(benchName(i), "bench", benchAddr(i).String())
			o.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			o.Status.Conditions = []metav1.Condition{{
				Type: v1beta1.ConditionAnnounced, Status: metav1.ConditionTrue, Reason: "Announced", LastTransitionTime: metav1.Now(),
			}}
			status := o.DeepCopy()
			if err := c.Create(ctx, o); err != nil {
				return err
			}
			status.ResourceVersion = o.ResourceVersion
			if err := c.Status().Patch(ctx, status, client.Merge); err != nil {
				return err
			}
			return c.Create(ctx, benchSlice(i, i%2 == 0, 0))
		})
	}
	must(b, work.Wait())
	b.Cleanup(func() {
		must(b, c.DeleteAllOf(ctx, &discoveryv1.EndpointSlice{}, client.InNamespace(namespace)))
		var clean errgroup.Group
		clean.SetLimit(32)
		for i := range benchServices {
			clean.Go(func() error { return c.Delete(ctx, speakertest.Service(benchName(i), "bench", "")) })
		}
		must(b, clean.Wait())
	})
}

// benchSlice has one pod on the node or on another, whose address changes with each turn.
func benchSlice(i int, here bool, turn int) *discoveryv1.EndpointSlice {
	node := "elsewhere"
	if here {
		node = "bench"
	}
	s := endpoints(benchName(i), node)
	s.Endpoints[0].Addresses = []string{fmt.Sprintf("198.51.%d.%d", turn%250, i%250+1)}
	return s
}

// churn makes a second's updates. The last of them, if they move, puts a pod on this node whose Service is asked for until it is
// answered.
func churn(b *testing.B, c client.Client, s *site, turn int, moving bool) (reaction time.Duration) {
	b.Helper()
	ctx, tick := context.Background(), time.NewTicker(time.Second/benchRate)
	defer tick.Stop()
	for k := range benchRate - 1 {
		<-tick.C
		i := (turn*benchRate + k) % benchServices
		here := i%2 == 0
		if moving {
			here = (i+turn)%2 == 0
		}
		must(b, c.Update(ctx, benchSlice(i, here, turn)))
	}
	<-tick.C
	if !moving {
		return 0
	}
	i := (turn*benchRate + benchRate - 1) % benchServices
	must(b, c.Update(ctx, benchSlice(i, false, turn)))
	s.silent(benchAddr(i))
	must(b, c.Update(ctx, benchSlice(i, true, turn+1)))
	began, w := time.Now(), s.asker.watch(benchAddr(i))
	defer w.end()
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for !w.told() {
		<-often.C
	}
	return time.Since(began)
}
