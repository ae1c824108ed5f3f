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
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// churn edits Services and their endpoints at random, and tells a speaker what a cache would tell of.
type churn struct {
	*rand.Rand
	t   *testing.T
	api client.Client
	g   gatherer
	s   *Speaker
}

func newChurn(t *testing.T, api client.Client, seed uint64) *churn {
	s := &Speaker{live: newCatalog(), changed: newSignal(), dirty: newSignal()}
	return &churn{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, api: api, g: newGatherer(api, s.live), s: s}
}

// tell has the speaker hear of an object: nil is one that is not there.
func (c *churn) tell(before, after client.Object) {
	o := after
	if o == nil {
		o = before
	}
	h := c.s.followServices()
	keep := func(o client.Object) any { return slim[*knownService](c.t, o) }
	if _, is := o.(*discoveryv1.EndpointSlice); is {
		h, keep = c.s.followSlices(), func(o client.Object) any { return slim[*knownSlice](c.t, o) }
	}
	switch {
	case before == nil:
		h.OnAdd(keep(after), false)
	case after == nil:
		h.OnDelete(keep(before))
	default:
		h.OnUpdate(keep(before), keep(after))
	}
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
		c.tell(before, nil)
	case known:
		o.SetResourceVersion(before.GetResourceVersion())
		must(c.t, c.api.Update(ctx, o))
		c.tell(before, o)
	default:
		must(c.t, c.api.Create(ctx, o))
		c.tell(nil, o)
	}
}

// services is what the API server holds, looked at as a whole.
func (c *churn) services() map[string]plan.Service {
	ctx := context.Background()
	var list corev1.ServiceList
	var all discoveryv1.EndpointSliceList
	must(c.t, c.api.List(ctx, &list))
	must(c.t, c.api.List(ctx, &all))
	out := map[string]plan.Service{}
	for _, o := range list.Items {
		if !announced(kube.DefaultClasses(), &o) {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(all.Items), func(e discoveryv1.EndpointSlice) bool {
			return e.Labels[discoveryv1.LabelServiceName] != o.Name
		})
		s := plan.Service{Service: new(spec.ParseService(&o)), Endpoints: spec.ParseEndpoints(of), Announced: isAnnounced(&o)}
		out[s.Key.String()] = s
	}
	return out
}

// TestSomeTwin: Services that are looked at because they have changed are as a look at all that the API server holds finds them. So
// a plan that is made from both is the same.
func TestSomeTwin(t *testing.T) {
	some, all, gone := 0, 0, 0
	for seed := range uint64(15) {
		c := newChurn(t, fakeAPI(t).Build(), seed)
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
				c.s.dirt.markAll()
			}
			change, ok := c.g.some(c.s.dirt.take())
			for _, s := range change.Services {
				kept[s.Key.String()] = s
				some++
			}
			for _, key := range change.Gone {
				delete(kept, key.String())
				gone++
			}
			if !ok { // as a pass does then
				all++
				clear(kept)
				for _, s := range c.s.live.all() {
					kept[s.Key.String()] = s
				}
			}
			if diff := cmp.Diff(c.services(), kept, equalPrefixes); diff != "" {
				t.Fatalf("seed %d, step %d (some: %t, %d Services): %s", seed, step, ok, len(change.Services), diff)
			}
		}
		for key, r := range c.s.live.services {
			if r.Service == nil && len(r.Slices) == 0 {
				t.Errorf("%s has gone and is not forgotten", key)
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
	c := newChurn(t, r.api, 7)
	c.tell(nil, newService("web"))
	c.tell(nil, newSlice("web", "web-1", endpoint("n1", nil, nil)))
	r.passer.dirt, r.passer.gather = &c.s.dirt, c.g
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

// TestSomeOfFew: Services that come, change and go.
func TestSomeOfFew(t *testing.T) {
	c := newChurn(t, nil, 0)
	web, none := newService("web"), client.Object(nil)
	unmarked := newService("web", func(s *corev1.Service) { s.Annotations = nil })
	one, two := newSlice("web", "web-1", endpoint("n1", nil, nil)), newSlice("web", "web-1", endpoint("n2", nil, nil))
	for _, step := range []struct {
		name          string
		before, after client.Object
		want          []string // nodes of web; nil: nothing is to be looked at
		gone          bool
	}{
		{"endpoints of none", none, one, nil, false},
		{"another's", none, newSlice("api", "api-1", endpoint("n2", nil, nil)), nil, false},
		{"their Service", none, web, []string{"n1"}, false},
		{"they move", one, two, []string{"n2"}, false},
		{"its mark is taken away", web, unmarked, nil, true},
		{"they move unseen", two, one, nil, false},
		{"its mark is put back", unmarked, web, []string{"n1"}, false},
		{"they come to belong to another", one, newSlice("api", "web-1", endpoint("n1", nil, nil)), []string{}, false},
		{"it goes", web, none, nil, true},
		{"an unmarked one comes", none, unmarked, nil, false},
		{"and goes", unmarked, none, nil, false},
	} {
		if step.before == none && step.after == none {
			t.Fatal(step.name)
		}
		c.tell(step.before, step.after)
		got, ok := c.g.some(c.s.dirt.take())
		if !ok || (len(got.Gone) == 1) != step.gone || (len(got.Services) == 1) != (step.want != nil) {
			t.Fatalf("%s: got %+v, %t", step.name, got, ok)
		}
		if step.want != nil && !slices.Equal(got.Services[0].Endpoints.IPv4.Nodes, step.want) {
			t.Errorf("%s: on %v, want %v", step.name, got.Services[0].Endpoints.IPv4.Nodes, step.want)
		}
	}
	for i := range mostChanged + 1 {
		c.tell(nil, newService(fmt.Sprint("s", i)))
	}
	if _, ok := c.g.some(c.s.dirt.take()); ok {
		t.Error("so many Services that have changed are looked at one by one")
	}
}
