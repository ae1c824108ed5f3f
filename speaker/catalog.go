package speaker

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// catalog joins Services and their endpoints, as caches tell of both in any order. What it is given is not changed any more.
type catalog struct {
	mu       sync.Mutex
	services map[types.NamespacedName]*record
	leaving  map[types.NamespacedName]*knownService
}

// record is a Service and its EndpointSlices: one of them at least.
type record struct {
	Service *knownService `json:",omitempty"` // nil while it is not of type LoadBalancer, or has not come yet
	Slices  []*knownSlice `json:",omitempty"`
}

func newCatalog() *catalog {
	return &catalog{services: map[types.NamespacedName]*record{}, leaving: map[types.NamespacedName]*knownService{}}
}

// put takes up a Service.
func (c *catalog) put(s *knownService) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(s.Key).Service = s
	delete(c.leaving, s.Key)
	if s.Concern == leaving {
		c.leaving[s.Key] = s
	}
}

// drop forgets a Service.
func (c *catalog) drop(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(key).Service = nil
	delete(c.leaving, key)
	c.tidy(key)
}

// putSlice takes up an EndpointSlice. It tells whether its Service is to be announced.
func (c *catalog) putSlice(s *knownSlice) (matters bool) {
	if s.Service == "" {
		return false // somebody's own, for other ends
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.record(s.of())
	if i := r.find(s.Key.Name); i >= 0 {
		r.Slices = slices.Clone(r.Slices) // somebody may be writing the snapshot
		r.Slices[i] = s
	} else {
		r.Slices = append(slices.Clip(r.Slices), s)
	}
	return r.announced()
}

// dropSlice forgets an EndpointSlice. It tells whether its Service is to be announced.
func (c *catalog) dropSlice(s *knownSlice) (matters bool) {
	if s.Service == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.record(s.of())
	if i := r.find(s.Key.Name); i >= 0 {
		r.Slices = slices.Delete(slices.Clone(r.Slices), i, i+1)
	}
	defer c.tidy(s.of())
	return r.announced()
}

func (c *catalog) record(key types.NamespacedName) *record {
	r := c.services[key]
	if r == nil {
		r = &record{}
		c.services[key] = r
	}
	return r
}

func (c *catalog) tidy(key types.NamespacedName) {
	if r := c.services[key]; r.Service == nil && len(r.Slices) == 0 {
		delete(c.services, key)
	}
}

func (r *record) find(slice string) int {
	return slices.IndexFunc(r.Slices, func(s *knownSlice) bool { return s.Key.Name == slice })
}

func (r *record) announced() bool { return r.Service != nil && r.Service.Concern == ours }

// plan is what a plan is made from.
func (r *record) plan() plan.Service {
	parsed := make([]spec.Slice, len(r.Slices))
	for i, s := range r.Slices {
		parsed[i] = s.Slice
	}
	return plan.Service{Service: &r.Service.Service, Endpoints: spec.JoinSlices(parsed), Announced: r.Service.Announced}
}

// all returns the Services to announce, by namespace and name.
func (c *catalog) all() []plan.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]plan.Service, 0, len(c.services))
	for _, r := range c.services {
		if r.announced() {
			out = append(out, r.plan())
		}
	}
	slices.SortFunc(out, func(a, b plan.Service) int {
		return cmp.Or(cmp.Compare(a.Key.Namespace, b.Key.Namespace), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return out
}

// some returns what has become of some Services.
func (c *catalog) some(keys map[types.NamespacedName]bool) (out plan.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range keys {
		if r := c.services[key]; r != nil && r.announced() {
			out.Services = append(out.Services, r.plan())
		} else {
			out.Gone = append(out.Gone, key)
		}
	}
	return out
}

// gone returns the Services that are being deleted and wait for the speakers.
func (c *catalog) gone() []*knownService {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.leaving))
}

// records returns the Services that a speaker has something to do with, and their endpoints.
func (c *catalog) records() (out []record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.services {
		if r.Service != nil && r.Service.Concern != foreign {
			out = append(out, *r)
		}
	}
	return out
}

// file takes up what records returned.
func (c *catalog) file(r record) {
	c.put(r.Service)
	for _, s := range r.Slices {
		c.putSlice(s)
	}
}
