package speaker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
)

// churn edits Services and their endpoints at random, and marks what a cache would tell of.
type churn struct {
	*rand.Rand
	t   *testing.T
	api client.Client
	g   gatherer
	s   *Speaker
}

func (c *churn) flip(p float64) bool { return c.Float64() < p }

func (c *churn) service() *corev1.Service {
	return newService(fmt.Sprint("s", c.IntN(6)), func(s *corev1.Service) {
		s.Status.LoadBalancer.Ingress[0].IP = fmt.Sprint("192.0.2.", c.IntN(250)+1)
		if c.flip(.2) {
			s.Annotations = nil // not ours
		}
		if c.flip(.3) {
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}
		if c.flip(.5) {
			s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAnnounced, Status: metav1.ConditionTrue}}
		}
	})
}

// slice is one of some names, of any Service: slices are split, joined and handed on.
func (c *churn) slice() *discoveryv1.EndpointSlice {
	var endpoints []discoveryv1.Endpoint
	for range c.IntN(4) {
		ready, serving := c.flip(.6), c.flip(.5)
		node := fmt.Sprint("n", c.IntN(4))
		if node == "n0" {
			node = ""
		}
		endpoints = append(endpoints, endpoint(node, &ready, &serving))
	}
	s := newSlice(fmt.Sprint("s", c.IntN(6)), fmt.Sprint("slice", c.IntN(9)), endpoints...)
	if c.flip(.3) {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	return s
}

// put creates or updates an object, or deletes it, as caches see it.
func (c *churn) put(o client.Object) {
	ctx := context.Background()
	before := o.DeepCopyObject().(client.Object)
	known := c.api.Get(ctx, client.ObjectKeyFromObject(o), before) == nil
	switch {
	case known && c.flip(.2):
		must(c.t, c.api.Delete(ctx, before))
		c.s.come(ctx, before)
	case known:
		o.SetResourceVersion(before.GetResourceVersion())
		must(c.t, c.api.Update(ctx, o))
		c.s.change(ctx, before, o)
	default:
		must(c.t, c.api.Create(ctx, o))
		c.s.come(ctx, o)
	}
}

// TestSomeTwin: Services that are looked at because they have changed are as a look at all of them finds them. So a plan that is
// made from both is the same.
func TestSomeTwin(t *testing.T) {
	ctx := context.Background()
	some, all, gone := 0, 0, 0
	for seed := range uint64(15) {
		c := &churn{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, api: fakeAPI(t).Build()}
		c.g = newGatherer(c.api)
		c.s = &Speaker{o: Options{Client: c.api, Classes: c.g.classes}, changed: newSignal(), dirty: newSignal()}
		kept := map[string]plan.Service{}
		for step := range 40 {
			for range 1 + c.IntN(3) {
				if c.flip(.3) {
					c.put(c.service())
				} else {
					c.put(c.slice())
				}
			}
			if c.flip(.15) {
				c.s.dirt.mark(newNode("n1"))
			}
			change, ok := c.g.some(ctx, c.s.dirt.take())
			if ok {
				for _, s := range change.Services {
					kept[s.Key.String()] = s
				}
				for _, key := range change.Gone {
					delete(kept, key.String())
					gone++
				}
				some++
			} else {
				all++
			}
			// The twin: it keeps the names of slices, too, so it has a book of its own.
			whole, err := newGatherer(c.api).services(ctx)
			must(t, err)
			if !ok { // as a pass does then
				whole, err = c.g.services(ctx)
				must(t, err)
				clear(kept)
				for _, s := range whole {
					kept[s.Key.String()] = s
				}
			}
			want := map[string]plan.Service{}
			for _, s := range whole {
				want[s.Key.String()] = s
			}
			if diff := cmp.Diff(want, kept, equalPrefixes); diff != "" {
				t.Fatalf("seed %d, step %d (some: %t, %d Services): %s", seed, step, ok, len(change.Services), diff)
			}
		}
	}
	if some < 50 || all < 50 || gone < 20 {
		t.Errorf("%d looks at some, %d at all, %d Services that have gone: one of them was hardly tried", some, all, gone)
	}
}

// TestPassTwin: a passer that replans the Services that changed asks layer 2 and BGP for what one asks for that looks at everything.
func TestPassTwin(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	r.settled, r.opened, r.recalling.done = true, true, true
	for _, n := range []string{"n2", "n3"} {
		must(t, r.api.Create(ctx, newNode(n)))
	}
	must(t, r.api.Create(ctx, bgpPeer("plain")))
	must(t, r.api.Create(ctx, &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}))
	routes := 0
	c := &churn{Rand: rand.New(rand.NewPCG(7, 7)), t: t, api: r.api, g: r.gather}
	c.s = &Speaker{o: Options{Client: c.api, Classes: c.g.classes}, changed: newSignal(), dirty: newSignal()}
	r.passer.dirt = &c.s.dirt
	r.passer.takePart()
	replanned := 0
	for step := range 100 {
		if c.flip(.3) {
			c.put(c.service())
		} else {
			c.put(c.slice())
		}
		looked := r.looked
		must(t, r.pass(ctx))
		if r.looked == looked {
			replanned++
		}
		// What it says of itself counts for the next plan, so the twin plans from there.
		must(t, r.pass(ctx))
		quick, told := r.wire.desired, r.routers.last.Load()
		r.listen, r.gathered = true, false
		must(t, r.pass(ctx))
		if diff := cmp.Diff(quick, r.wire.desired, equalPrefixes); diff != "" {
			t.Fatalf("step %d: %s", step, diff)
		}
		if diff := cmp.Diff(told.peers, r.routers.last.Load().peers, equalPrefixes, cmp.AllowUnexported(peerWish{}, secret{})); diff != "" {
			t.Fatalf("step %d, routers: %s", step, diff)
		}
		routes += len(told.peers["plain"].routes)
	}
	if replanned < 15 || routes < 100 {
		t.Errorf("%d of 100 passes looked at some Services only, %d routes were told", replanned, routes)
	}
}

// TestMadeAnew: a Service that is not announced for a moment gets slices that nobody takes note of.
func TestMadeAnew(t *testing.T) {
	ctx := context.Background()
	for name, interrupt := range map[string]func(c *churn) (again func()){
		"deleted and created": func(c *churn) func() {
			must(c.t, c.api.Delete(ctx, newService("web")))
			c.s.come(ctx, newService("web"))
			return func() {
				must(c.t, c.api.Create(ctx, newService("web")))
				c.s.come(ctx, newService("web"))
			}
		},
		"its mark taken away and put back": func(c *churn) func() {
			unmarked := newService("web", func(s *corev1.Service) { s.Annotations = nil })
			must(c.t, c.api.Update(ctx, unmarked))
			c.s.change(ctx, newService("web"), unmarked)
			return func() {
				must(c.t, c.api.Update(ctx, newService("web")))
				c.s.change(ctx, unmarked, newService("web"))
			}
		},
	} {
		c := &churn{t: t, api: fakeAPI(t, newService("web"), newSlice("web", "web-1", endpoint("n1", nil, nil))).Build()}
		c.g = newGatherer(c.api)
		c.s = &Speaker{o: Options{Client: c.api, Classes: c.g.classes}, changed: newSignal(), dirty: newSignal()}
		_, err := c.g.services(ctx)
		must(t, err)
		again := interrupt(c)
		must(t, c.api.Delete(ctx, newSlice("web", "web-1")))
		c.s.come(ctx, newSlice("web", "web-1"))
		slice := newSlice("web", "web-2", endpoint("n2", nil, nil))
		must(t, c.api.Create(ctx, slice))
		c.s.come(ctx, slice)
		again()
		got, ok := c.g.some(ctx, c.s.dirt.take())
		if !ok || len(got.Services) != 1 || !slices.Equal(got.Services[0].Endpoints.IPv4.Nodes, []string{"n2"}) {
			t.Errorf("%s: got %+v, %t", name, got, ok)
		}
	}
}

// TestSomeOfFew: Services that come, change and go.
func TestSomeOfFew(t *testing.T) {
	ctx := context.Background()
	api := fakeAPI(t, newService("web"), newSlice("web", "web-1", endpoint("n1", nil, nil)), newSlice("api", "api-1", endpoint("n2", nil, nil))).Build()
	g := newGatherer(api)
	var d dirt
	for _, found := range []string{"new", "known"} {
		d.mark(newService("web"))
		got, ok := g.some(ctx, d.take())
		if !ok || len(got.Services) != 1 || !slices.Equal(got.Services[0].Endpoints.IPv4.Nodes, []string{"n1"}) {
			t.Errorf("%s: got %v, %t", found, got, ok)
		}
	}
	must(t, api.Delete(ctx, newService("web")))
	d.mark(newService("web"))
	if got, ok := g.some(ctx, d.take()); !ok || len(got.Services) != 0 || len(got.Gone) != 1 {
		t.Errorf("gone: got %v, %t", got, ok)
	}
	d.mark(newService("web"))
	if got, ok := g.some(ctx, d.take()); !ok || len(got.Services)+len(got.Gone) != 0 {
		t.Errorf("never there: got %v, %t", got, ok)
	}
	d.mark(newNode("n1"))
	if _, ok := g.some(ctx, d.take()); ok {
		t.Error("a Node has changed, and some Services are all")
	}
	for i := range mostNew + 1 {
		s := newService(fmt.Sprint("s", i))
		must(t, api.Create(ctx, s))
		d.mark(s)
	}
	if _, ok := g.some(ctx, d.take()); ok {
		t.Error("so many new Services are looked for one by one")
	}
}
