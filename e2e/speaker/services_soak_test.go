//go:build soak

package speaker

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	present  = flag.Int("speaker.services", 1000, "Services that are there when TestSoakAddress begins")
	assigned = flag.Int("speaker.assigned", 500, "addresses that TestSoakAddress gives")
)

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}) }

// populate makes Services first to last-1 with a pod each, and takes them away after the test. Those that are to get no
// address yet have none.
func populate(t *testing.T, first, last int, addressed bool) []*corev1.Service {
	t.Helper()
	all := make([]*corev1.Service, last-first)
	work, ctx := errgroup.WithContext(context.Background())
	work.SetLimit(16)
	for i := range all {
		work.Go(func() error {
			a := nth(first + i)
			name := fmt.Sprintf("s%d", first+i)
			o, pods := service(name, a), endpoints(name, a, "n1")
			status := o.Status
			all[i] = o
			if err := api.Create(ctx, pods); err != nil {
				return err
			}
			if err := api.Create(ctx, o); err != nil || !addressed {
				return err
			}
			return give(ctx, o, status)
		})
	}
	must(t, work.Wait())
	t.Cleanup(func() {
		var work errgroup.Group
		work.SetLimit(16)
		for _, o := range all {
			work.Go(func() error {
				ctx := context.Background()
				err := api.Delete(ctx, o)
				if err == nil {
					err = api.Delete(ctx, endpoints(o.Name, web, "n1"))
				}
				return err
			})
		}
		must(t, work.Wait())
	})
	return all
}

func give(ctx context.Context, o *corev1.Service, status corev1.ServiceStatus) error {
	before := o.DeepCopy()
	o.Status = status
	return api.Status().Patch(ctx, o, client.MergeFrom(before))
}

// TestSoakAddress prints how long after a Service has got its address a router has been told, and FRR's kernel has the route.
func TestSoakAddress(t *testing.T) {
	l := newScene(t)
	populate(t, 0, *present, true)
	waiting := populate(t, *present, *present+*assigned, false)
	create(t, bgpPeer("ear", router1))
	create(t, bgpPeer("frr", router2))
	ear, r := newEar(t, l, "r1", router1+"/24"), newGateway(t, l, "r2", router2+"/24")
	r.frr(frrConfig([]string{node1}))
	n := newNode(t, l, "n1", node1+"/24")
	n.up()
	r.has(host(nth(*present-1)), node1)
	ear.knows(*present + 1) // and the one of the scene
	routes := r.watch()
	var told, toldSinceSent, kernel figures
	for i, o := range waiting {
		a := nth(*present + i)
		pause := time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
		sent := time.Now()
		must(t, give(t.Context(), o, service("", a).Status))
		has := time.Now()
		heard := ear.of(host(a))
		told = append(told, milliseconds(max(0, heard.Sub(has))))
		toldSinceSent = append(toldSinceSent, milliseconds(heard.Sub(sent)))
		kernel = append(kernel, milliseconds(max(0, await(t, routes, host(a), false).at.Sub(has))))
		<-pause
	}
	t.Logf("%d Services, from the API server's answer to the write of an address, in ms", *present)
	t.Logf("  until a router has the UPDATE: %s", told)
	t.Logf("  until FRR's kernel has the route: %s", kernel)
	t.Logf("  from before the write until a router has the UPDATE: %s", toldSinceSent)
}

// TestSoakStart prints how long a speaker takes from its start until a router knows all routes, by the number of Services.
func TestSoakStart(t *testing.T) {
	l := newScene(t)
	create(t, bgpPeer("ear", router1))
	ear := newEar(t, l, "r1", router1+"/24")
	n := newNode(t, l, "n1", node1+"/24")
	there := 0
	for _, services := range []int{0, 500, 1000, 2000, 4000} {
		populate(t, there, services, true)
		there = services
		var ready, known figures
		for range 5 {
			ear.forget()
			began := time.Now()
			n.up()
			ready = append(ready, milliseconds(time.Since(began)))
			known = append(known, milliseconds(ear.knows(services+1).Sub(began)))
			must(t, n.Stop(unix.SIGTERM))
		}
		t.Logf("%d Services, in ms: ready after %s", services, ready)
		t.Logf("%d Services, in ms: the router knows all after %s", services, known)
	}
}
