package speaker

import (
	"context"
	commandline "flag"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/members"
)

var manyTakeovers = commandline.Int("takeovers", 40, "how often an address is taken over in TestTakeoversLeaveNothing")

// pairGroup is a group of two, of which one comes and goes. It keeps nothing.
type pairGroup struct {
	mu      sync.Mutex
	own     members.Member
	other   *members.Member
	joins   uint64
	change  signal
	settled chan struct{}
}

func (g *pairGroup) Members() []members.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []members.Member{g.own}
	if g.other != nil {
		out = append(out, *g.other)
	}
	return out
}

func (g *pairGroup) SetPeers(map[string]netip.AddrPort) {}
func (g *pairGroup) Changed() <-chan struct{}           { return g.change }
func (g *pairGroup) Settled() <-chan struct{}           { return g.settled }

func (g *pairGroup) SetState(s members.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own.State = s
}

func (g *pairGroup) Publish(b []byte, _ ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own.Facts = b
	return nil
}

// says has the other be there with these claims, gone takes it away.
func (g *pairGroup) says(claims string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.other == nil {
		g.joins++
	}
	facts := `{"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:02","up":true,"ipv4":true,"prefixes":["192.0.2.0/24"]}],"claims":[` + claims + `]}`
	g.other = &members.Member{Name: "n2", State: members.Ready, Joins: g.joins, Current: true, Facts: []byte(facts)}
	g.change.raise()
}

func (g *pairGroup) gone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.other = nil
	g.change.raise()
}

// TestTakeoversLeaveNothing: a node's address goes to another, in a planned move, and comes back when that dies, again and
// again, with real sockets. No goroutine and no memory is left behind.
func TestTakeoversLeaveNothing(t *testing.T) {
	h, neighbour := nettest.NewHost(t), nettest.NewHost(t)
	nettest.Cable(h, "eth0", neighbour, "eth0")
	h.Address("eth0", "192.0.2.1/24")
	wire, err := l2.New(l2.Options{Log: logr.Discard()})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	defer func() { stop(); parts.Wait() }()
	parts.Go(func() { must(t, h.Do(func() error { return wire.Run(ctx) })) })

	r := newRig(t)
	must(t, r.api.Create(ctx, newNode("n2")))
	g := &pairGroup{own: members.Member{Name: "n1", Joins: 1, Current: true}, change: newSignal(), settled: make(chan struct{})}
	close(g.settled)
	var last atomic.Pointer[v1beta1.SpeakerStatusStatus]
	r.group, r.announcer, r.o.Log, r.mind.log = g, wire, logr.Discard(), logr.Discard()
	r.passer.report = func(s v1beta1.SpeakerStatusStatus) { last.Store(&s) }
	parts.Go(func() { r.run(ctx) })
	has := func(n int32) {
		t.Helper()
		waitFor(t, fmt.Sprint(n, " addresses"), func() bool { s := last.Load(); return s != nil && s.L2.Count == n })
	}
	has(1)
	var o v1beta1.SpeakerStatus // what the fake API server makes at its first use is none of ours
	must(t, client.IgnoreNotFound(r.api.Get(ctx, types.NamespacedName{Name: "n1"}, &o)))

	takeover := func() {
		t.Helper()
		epoch := last.Load().L2.Claims[0].Epoch
		g.says(fmt.Sprintf(`{"epoch":%d,"from":"n1","addresses":["192.0.2.100"]}`, epoch+1))
		has(0)
		g.says(fmt.Sprintf(`{"epoch":%d,"addresses":["192.0.2.100"]}`, epoch+1))
		g.gone()
		has(1)
		waitFor(t, "a claim", func() bool { return len(last.Load().L2.Claims) == 1 })
	}
	for range 10 {
		takeover()
	}
	heap, goroutines := settledHeap(), runtime.NumGoroutine()
	for range *manyTakeovers {
		takeover()
	}
	waitFor(t, fmt.Sprint("no more than ", goroutines, " goroutines"), func() bool { return runtime.NumGoroutine() <= goroutines })
	grown := int64(settledHeap()) - int64(heap)
	t.Logf("%d takeovers: %d bytes more on the heap, %d goroutines", *manyTakeovers, grown, goroutines)
	if grown > 256<<10 {
		t.Errorf("the heap has grown by %d bytes in %d takeovers", grown, *manyTakeovers)
	}
}

func settledHeap() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("still not so: ", what)
		}
	}
}
