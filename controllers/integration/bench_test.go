package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// present is how many Services there are while the benchmarks run.
const present = 5000

// BenchmarkEndToEnd measures the controller against a real kube-apiserver that has 5,000 Services:
//
//	pending    a controller starts while none of them has an address. ratio: its time until all have one, divided by that
//	           of as many status patches that a bare client sends with as many in parallel. first-pass: from the start until
//	           all have been given an address, though not all are written
//	create     create → address of one Service more, p50 and p99 of 200
//	left       the leader exits in order; time from then until a new Service has its address at the standby
//	killed     the same when the leader is cut off. extra-writes: what the new leader wrote besides that one address
func BenchmarkEndToEnd(b *testing.B) {
	clean(b)
	b.Cleanup(func() {
		var list corev1.ServiceList
		must(b, shared.client.List(context.Background(), &list))
		parallel(b, list.Items, remove)
	})
	first := start(b, quietly) // makes the Lease: nobody who starts later must wait for the first of all leaders
	soon(b, func() bool { return first.metric("belfry_passes_total") > 0 })
	must(b, first.stop())
	fill(b)
	create(b, newPool("bench", "10.64.0.0/16"))
	all := b // a replica outlives the part in which it is started
	var leader *controller
	b.Run("pending", func(b *testing.B) {
		for range b.N {
			bare := barePatches(b)
			began := time.Now()
			leader = start(all, quietly)
			soon(b, func() bool { return leader.metric("belfry_passes_total") > 0 })
			first := time.Since(began)
			soon(b, func() bool { return leader.metric("belfry_assignments_total", "allocated=true") >= present })
			took := time.Since(began)
			b.ReportMetric(first.Seconds(), "s/first-pass")
			b.ReportMetric(bare.Seconds(), "s/bare")
			b.ReportMetric(took.Seconds(), "s/all")
			b.ReportMetric(took.Seconds()/bare.Seconds(), "ratio")
			must(b, leader.stop())
			forget(b)
		}
	})
	leader = start(all, quietly)
	soon(b, func() bool { return leader.metric("belfry_assignments_total", "allocated=true") >= present })
	b.Run("create", func(b *testing.B) {
		for range b.N {
			times := createToAddress(b, 200)
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		}
	})
	for _, end := range []struct {
		name string
		do   func(*controller)
	}{{"left", func(c *controller) { must(b, c.stop()) }}, {"killed", (*controller).kill}} {
		b.Run(end.name, func(b *testing.B) {
			for range b.N {
				standby := start(all, quietly)
				synced(b, standby)
				began := time.Now()
				end.do(leader)
				createToAddress(b, 1)
				b.ReportMetric(time.Since(began).Seconds(), "s/address")
				b.ReportMetric(float64(standby.net.written()["PATCH services/status"]-1), "extra-writes")
				leader = standby
			}
		})
	}
	must(b, leader.stop())
}

// synced waits until a replica has listed the Services, so that it is a warm standby.
func synced(b *testing.B, c *controller) {
	b.Helper()
	soon(b, func() bool { return c.net.watches.Load() >= 1 })
}

func soon(b *testing.B, done func() bool) {
	b.Helper()
	deadline := time.Now().Add(10 * patience)
	for !done() {
		if time.Now().After(deadline) {
			b.Fatal("it takes too long")
		}
		time.Sleep(20 * time.Millisecond) // between two looks at a condition
	}
}

// parallel does something to each Service, 32 at a time.
func parallel(b *testing.B, list []corev1.Service, do func(*corev1.Service) error) {
	b.Helper()
	work := make(chan *corev1.Service)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for s := range work {
				if err := do(s); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range list {
		if list[i].Name != "kubernetes" {
			work <- &list[i]
		}
	}
	close(work)
	all.Wait()
}

func remove(s *corev1.Service) error {
	return client.IgnoreNotFound(shared.client.Delete(context.Background(), s))
}

func fill(b *testing.B) {
	b.Helper()
	list := make([]corev1.Service, present)
	for i := range list {
		list[i] = *newService(fmt.Sprintf("bench-%05d", i))
	}
	parallel(b, list, func(s *corev1.Service) error { return shared.client.Create(b.Context(), s) })
}

// barePatches sends as many status patches as there are Services, each like one of the controller's, and takes them back.
func barePatches(b *testing.B) time.Duration {
	b.Helper()
	list := services(b)
	bodies := map[types.UID][]byte{}
	for i := range list {
		body, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": list[i].UID, "resourceVersion": list[i].ResourceVersion, "annotations": map[string]string{v1beta1.AnnotationAllocatedFrom: "bench"}},
			"status": map[string]any{
				"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": fmt.Sprintf("10.64.%d.%d", i>>8, i&255), "ipMode": "VIP"}}},
				"conditions": []any{metav1.Condition{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, Reason: "Allocated",
					Message: "10.64.0.0 from pool bench", LastTransitionTime: metav1.Now()}},
			},
		})
		must(b, err)
		bodies[list[i].UID] = body
	}
	began := time.Now()
	parallel(b, list, func(s *corev1.Service) error {
		return shared.client.Status().Patch(b.Context(), s, client.RawPatch(types.MergePatchType, bodies[s.UID]))
	})
	took := time.Since(began)
	forget(b)
	return took
}

// forget takes all addresses away while no controller runs.
func forget(b *testing.B) {
	b.Helper()
	nothing := []byte(`{"metadata":{"annotations":{"` + v1beta1.AnnotationAllocatedFrom + `":null}},"status":{"loadBalancer":null,"conditions":null}}`)
	parallel(b, services(b), func(s *corev1.Service) error {
		return shared.client.Status().Patch(b.Context(), s, client.RawPatch(types.MergePatchType, nothing))
	})
}

// createToAddress creates Services one after the other and times how long each waits.
func createToAddress(b *testing.B, n int) []time.Duration {
	b.Helper()
	c, err := client.NewWithWatch(shared.cfg, client.Options{Scheme: shared.client.Scheme()})
	must(b, err)
	var list corev1.ServiceList
	must(b, c.List(b.Context(), &list, client.Limit(1)))
	w, err := c.Watch(b.Context(), &corev1.ServiceList{}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	must(b, err)
	defer w.Stop()
	var times []time.Duration
	for i := range n {
		s := newService(fmt.Sprintf("bench-more-%d-%d", time.Now().UnixNano(), i))
		began := time.Now()
		create(b, s)
		awaitAddress(b, w, s.UID)
		times = append(times, time.Since(began))
	}
	return times
}

func awaitAddress(b *testing.B, w watch.Interface, uid types.UID) {
	b.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-w.ResultChan():
			if s, ok := e.Object.(*corev1.Service); ok && s.UID == uid && len(s.Status.LoadBalancer.Ingress) > 0 {
				return
			}
		case <-timeout:
			b.Fatal("no address")
		}
	}
}
