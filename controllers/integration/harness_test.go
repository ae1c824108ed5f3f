package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// patience is how long a test waits for what must come; it says nothing about how fast it should.
const patience = 60 * time.Second

// controller is one replica under test.
type controller struct {
	t        testing.TB
	cancel   context.CancelFunc
	ended    chan error
	net      *network
	registry *prometheus.Registry
}

// start runs a replica until the test ends or stop is called.
func start(t testing.TB, change ...func(*controllers.Options)) *controller {
	t.Helper()
	return startAs(t, func(*rest.Config) {}, change...)
}

// quietly keeps a replica from logging.
func quietly(o *controllers.Options) { o.Log = logr.Discard() }

// startAs is start for another user.
func startAs(t testing.TB, user func(*rest.Config), change ...func(*controllers.Options)) *controller {
	t.Helper()
	c := &controller{t: t, ended: make(chan error, 1), net: &network{writes: map[string]int{}}, registry: prometheus.NewRegistry()}
	o := controllers.DefaultOptions()
	o.Namespace, o.HealthAddress, o.MetricsAddress = "default", "0", "0"
	o.Registerer, o.Log = c.registry, testr.NewWithInterface(t, testr.Options{Verbosity: 0})
	for _, f := range change {
		f(&o)
	}
	cfg := rest.CopyConfig(shared.cfg)
	user(cfg)
	cfg.Wrap(c.net.wrap)
	mgr, err := controllers.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() { c.ended <- mgr.Start(ctx) }()
	t.Cleanup(func() { c.stop() })
	return c
}

// stop ends the replica in order, and returns what its manager returned. It may be called twice.
func (c *controller) stop() error {
	c.cancel()
	err := <-c.ended
	c.ended <- err
	return err
}

// kill cuts the replica off from the API server for ever, at once: as far as others can see, it is dead.
func (c *controller) kill() { c.net.cut.Store(true) }

// metric returns the sum of a counter's or gauge's series that have all these labels ("name=value").
func (c *controller) metric(name string, labels ...string) float64 {
	c.t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetName()+"="+l.GetValue()] = true
			}
			match := true
			for _, l := range labels {
				match = match && have[l]
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// fullPasses waits until n more full passes have ended.
func (c *controller) fullPasses(n float64) {
	c.t.Helper()
	from := c.metric("belfry_passes_total", "full=true")
	eventually(c.t, "full passes", func() error {
		if got := c.metric("belfry_passes_total", "full=true") - from; got < n {
			return fmt.Errorf("%v of %v", got, n)
		}
		return nil
	})
}

// network is what lies between a replica and the API server.
type network struct {
	cut atomic.Bool
	// loseAnswer, when set, tells for which requests the answer is lost though the API server acted.
	loseAnswer atomic.Pointer[func(*http.Request) bool]
	// refuse, when set, tells which requests never arrive.
	refuse atomic.Pointer[func(*http.Request) bool]
	// late, when set, tells for which requests the answer's body is not read on until the channel is closed.
	late atomic.Pointer[lateness]

	mu     sync.Mutex
	writes map[string]int // "PATCH services/status"
	heard  []byte         // what came in last by the watch of Services

	watches   atomic.Int64                  // of Services
	onTheWay  atomic.Int64                  // patches of Services
	atRelease atomic.Int64                  // how many were on their way when the Lease was last written
	gate      atomic.Pointer[chan struct{}] // when set, patches of Services wait until it is closed
	waiting   atomic.Int64                  // patches that wait at the gate, if there is one
}

var errNetwork = errors.New("the network is cut")

type roundTripper func(*http.Request) (*http.Response, error)

func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r) }

func (n *network) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if f := n.refuse.Load(); n.cut.Load() || f != nil && (*f)(r) {
			return nil, errNetwork
		}
		n.count(r)
		n.observe(r)
		if r.URL.Query().Get("watch") != "" && resource(r.URL.Path) == "services" {
			n.watches.Add(1)
		}
		if r.Method == http.MethodPatch && resource(r.URL.Path) == "services/status" {
			n.onTheWay.Add(1)
			defer n.onTheWay.Add(-1)
			if gate := n.gate.Load(); gate != nil {
				n.waiting.Add(1)
				<-*gate
			}
		}
		answer, err := next.RoundTrip(r)
		if f := n.loseAnswer.Load(); err == nil && (n.cut.Load() || f != nil && (*f)(r)) {
			_ = answer.Body.Close()
			return nil, errNetwork
		}
		if err == nil {
			answer.Body = &lateBody{answer.Body, r, n}
		}
		return answer, err
	})
}

// heardOf tells whether a watch of Services has brought the word.
func (n *network) heardOf(word string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Contains(n.heard, []byte(word))
}

// lateness is for which requests the news comes late, and until when.
type lateness struct {
	of    func(*http.Request) bool
	until chan struct{}
}

// lateBody is a body, of a watch above all, whose news may come late.
type lateBody struct {
	io.ReadCloser
	request *http.Request
	net     *network
}

func (b *lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.request.URL.Query().Get("watch") != "" && resource(b.request.URL.Path) == "services" {
		b.net.mu.Lock()
		b.net.heard = append(b.net.heard, p[:n]...)
		if l := len(b.net.heard); l > 1<<20 {
			b.net.heard = bytes.Clone(b.net.heard[l-1<<16:])
		}
		b.net.mu.Unlock()
	}
	if l := b.net.late.Load(); l != nil && l.of(b.request) {
		<-l.until
	}
	return n, err
}

func (n *network) observe(r *http.Request) {
	if r.Method == http.MethodPut && resource(r.URL.Path) == "leases" {
		n.atRelease.Store(n.onTheWay.Load())
	}
}

func (n *network) count(r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes[r.Method+" "+resource(r.URL.Path)]++
}

// written returns the writes so far but for those to the Lease.
func (n *network) written() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]int{}
	for k, v := range n.writes {
		if !strings.HasSuffix(k, " leases") {
			out[k] = v
		}
	}
	return out
}

// resource turns a path into "services/status": the resource and subresource, without names.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if parts[0] == "api" {
		parts = parts[2:]
	} else {
		parts = parts[3:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}

// eventually waits until f returns nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	err := f()
	for ; err != nil && time.Now().Before(deadline); err = f() {
		time.Sleep(20 * time.Millisecond) // between two looks at a condition
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// clean removes all Services of ours, pools and advertisements, at the end of the test. Call it before start, so that the
// replica has ended by then.
func clean(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.Background()
		var services corev1.ServiceList
		must(t, shared.client.List(ctx, &services))
		for i := range services.Items {
			if s := &services.Items[i]; s.Name != "kubernetes" {
				must(t, client.IgnoreNotFound(shared.client.Delete(ctx, s)))
			}
		}
		must(t, shared.client.DeleteAllOf(ctx, &v1beta1.IPReservation{}, client.InNamespace("default")))
		must(t, shared.client.DeleteAllOf(ctx, &v1beta1.IPAddressPool{}))
		must(t, shared.client.DeleteAllOf(ctx, &v1beta1.L2Advertisement{}))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newPool(name string, ranges ...v1beta1.AddressRange) *v1beta1.IPAddressPool {
	return &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressPoolSpec{Addresses: ranges}}
}

func newService(name string, change ...func(*corev1.Service)) *corev1.Service {
	no := false
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Type:                          corev1.ServiceTypeLoadBalancer,
			AllocateLoadBalancerNodePorts: &no,
			Ports:                         []corev1.ServicePort{{Port: 80}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func families(policy corev1.IPFamilyPolicy, fs ...corev1.IPFamily) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.IPFamilyPolicy, s.Spec.IPFamilies = &policy, fs }
}

func create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		must(t, shared.client.Create(t.Context(), o))
	}
}

// get returns the object as the API server has it now.
func get[T client.Object](t testing.TB, o T) T {
	t.Helper()
	must(t, shared.client.Get(t.Context(), client.ObjectKeyFromObject(o), o))
	return o
}

// edit changes an object, again when somebody else was faster.
func edit[T client.Object](t testing.TB, o T, f func(T)) {
	t.Helper()
	eventually(t, "editing "+o.GetName(), func() error {
		get(t, o)
		f(o)
		return shared.client.Update(t.Context(), o)
	})
}

func ips(s *corev1.Service) []string {
	out := []string{}
	for _, in := range s.Status.LoadBalancer.Ingress {
		out = append(out, in.IP)
	}
	return out
}

func allocated(s *corev1.Service) metav1.Condition {
	if c := meta.FindStatusCondition(s.Status.Conditions, v1beta1.ConditionAllocated); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// hasAddresses waits until the Service shows exactly these.
func hasAddresses(t testing.TB, s *corev1.Service, want ...string) {
	t.Helper()
	eventually(t, "addresses of "+s.Name, func() error {
		get(t, s)
		if got := ips(s); strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("got %v, want %v; %+v", got, want, allocated(s))
		}
		return nil
	})
}

// hasReason waits until the Allocated condition says so.
func hasReason(t testing.TB, s *corev1.Service, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, "condition of "+s.Name, func() error {
		get(t, s)
		if c := allocated(s); c.Status != status || c.Reason != reason {
			return fmt.Errorf("got %+v, want %s %s", c, status, reason)
		}
		return nil
	})
}

// ready waits until the Ready condition of a pool or advertisement says so, and returns it.
func ready(t testing.TB, o client.Object, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var c *metav1.Condition
	eventually(t, "condition of "+o.GetName(), func() error {
		get(t, o)
		var list []metav1.Condition
		switch o := o.(type) {
		case *v1beta1.IPAddressPool:
			list = o.Status.Conditions
		case *v1beta1.L2Advertisement:
			list = o.Status.Conditions
		}
		c = meta.FindStatusCondition(list, v1beta1.ConditionReady)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != o.GetGeneration() {
			return fmt.Errorf("got %+v, want %s %s at generation %d", c, status, reason, o.GetGeneration())
		}
		return nil
	})
	return *c
}

// hasEvent waits for an event on the object.
func hasEvent(t testing.TB, o client.Object, reason, words string) {
	t.Helper()
	eventually(t, "event "+reason+" of "+o.GetName(), func() error {
		var list corev1.EventList
		must(t, shared.client.List(t.Context(), &list))
		var seen []string
		for _, e := range list.Items {
			if e.InvolvedObject.UID != o.GetUID() {
				continue
			}
			if e.Reason == reason && strings.Contains(e.Message, words) {
				return nil
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return fmt.Errorf("want %q, have %q", words, seen)
	})
}
