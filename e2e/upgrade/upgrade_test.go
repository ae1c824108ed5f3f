//go:build soak

package upgrade

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

var (
	keep    = flag.Bool("keep", false, "leave the lab running, to look at it")
	labName = flag.String("lab", "upgrade", "name of the lab: two may run at once under two names")
)

// patience bounds the wait for anything; it is no measurement.
const patience = 10 * time.Minute

const services = 6

// traffic is what flows while the product is replaced: new connections to every address, and one that is held to each.
type traffic struct {
	addresses map[string]netip.Addr
	owners    map[string][]string
	probes    map[string]*harness.Probe
	client    *cluster.Host
}

func TestSoakUpgrade(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	dir := t.TempDir()
	ref, program, err := checkOut(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	lab, err := cluster.Start(ctx, cluster.Options{Name: *labName, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	if !*keep {
		t.Cleanup(func() {
			if err := lab.Down(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	k8s, err := harness.Client(lab)
	if err != nil {
		t.Fatal(err)
	}
	const base = "localhost/belfry:base"
	if err := errors.Join(harness.LoadProgram(ctx, lab, base, program), harness.BuildImage(ctx, lab), harness.BuildWebImage(ctx, lab)); err != nil {
		t.Fatal(err)
	}
	must(t, helm(ctx, lab, "install", harness.Release, filepath.Join(dir, "charts", "belfry"), "--create-namespace",
		"--set", "image.repository=localhost/belfry", "--set", "image.tag=base", "--set", "image.pullPolicy=Never"))
	flow := start(ctx, t, lab, k8s)

	t.Run("upgrade from "+ref, func(t *testing.T) {
		args := append([]string{"upgrade", harness.Release, "charts/belfry"}, harness.ImageFlags()...)
		flow.during(ctx, t, k8s, func() error { return helm(ctx, lab, args...) })
	})
	t.Run("rollback", func(t *testing.T) {
		flow.during(ctx, t, k8s, func() error { return helm(ctx, lab, "rollback", harness.Release) })
	})
	t.Run("and forward again", func(t *testing.T) {
		args := append([]string{"upgrade", harness.Release, "charts/belfry"}, harness.ImageFlags()...)
		flow.during(ctx, t, k8s, func() error { return helm(ctx, lab, args...) })
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func helm(ctx context.Context, lab *cluster.Cluster, args ...string) error {
	_, err := render.HelmWith(ctx, lab.Env(), append(args, "--namespace", harness.Namespace, "--wait", "--timeout", "5m")...)
	return err
}

// start makes Services and lets traffic flow to them.
func start(ctx context.Context, t *testing.T, lab *cluster.Cluster, k8s client.Client) *traffic {
	t.Helper()
	manifest := harness.PoolManifest(lab, "lan", 200, 239) + "---\n" + harness.Web("web", 3)
	for i := range services {
		manifest += "---\n" + harness.Service(name(i), "web", "", 80, 7000)
	}
	must(t, harness.Apply(ctx, lab, manifest))
	must(t, harness.AwaitDeployment(ctx, lab, "default", "web"))
	f := &traffic{addresses: map[string]netip.Addr{}, owners: map[string][]string{}, probes: map[string]*harness.Probe{}, client: lab.Client(1)}
	for i := range services {
		addrs, err := harness.AwaitAddresses(ctx, k8s, key(i), 1)
		must(t, err)
		f.addresses[name(i)] = addrs[0]
		must(t, harness.Eventually(ctx, "a page of "+name(i), func(ctx context.Context) error {
			_, err := harness.Get(ctx, lab.Client(1), netip.AddrPortFrom(addrs[0], 80))
			return err
		}))
		must(t, harness.Eventually(ctx, "one announcer of "+name(i), func(ctx context.Context) error {
			owners, err := harness.Owners(ctx, k8s, addrs[0])
			if err == nil && len(owners) != 1 {
				err = fmt.Errorf("announced by %v", owners)
			}
			f.owners[name(i)] = owners
			return err
		}))
	}
	for n, a := range f.addresses {
		p := harness.StartProbe(ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
		t.Cleanup(p.Stop)
		must(t, p.AwaitSuccesses(ctx, 50))
		f.probes[n] = p
	}
	return f
}

func name(i int) string { return fmt.Sprintf("s%d", i) }

func key(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name(i)}
}

// during does something and tells what the traffic noticed of it.
func (f *traffic) during(ctx context.Context, t *testing.T, k8s client.Client, do func() error) {
	t.Helper()
	before, held := map[string]int{}, map[string]*held{}
	for n, p := range f.probes {
		_, before[n] = p.Counts()
		h, err := hold(ctx, f.client, netip.AddrPortFrom(f.addresses[n], 7000))
		must(t, err)
		t.Cleanup(h.stop)
		held[n] = h
	}
	began := time.Now()
	must(t, do())
	took, lost, broken, connections := time.Since(began), 0, 0, 0
	for n, p := range f.probes {
		ok, _ := p.Counts()
		must(t, p.AwaitSuccesses(ctx, ok+100)) // what the end of it did shows in connections after it
		ok, failed := p.Counts()
		connections += ok
		lost += failed - before[n]
		if err := held[n].failure(ctx); err != nil {
			broken++
			t.Logf("the connection held to %s broke: %v", n, err)
		}
	}
	t.Logf("it took %d ms; of %d new connections so far %d failed in this part; of %d held ones %d broke", took.Milliseconds(), connections, lost, len(held), broken)
	if lost > 0 || broken > 0 {
		t.Errorf("%d new connections failed, %d held ones broke", lost, broken)
	}
	for i := range services {
		addrs, err := harness.AwaitAddresses(ctx, k8s, key(i), 1)
		must(t, err)
		owners, err := harness.Owners(ctx, k8s, f.addresses[name(i)])
		must(t, err)
		if addrs[0] != f.addresses[name(i)] {
			t.Errorf("%s became %s", f.addresses[name(i)], addrs[0])
		}
		if diff := cmp.Diff(f.owners[name(i)], owners); diff != "" {
			t.Errorf("%s moved (-before +after):\n%s", addrs[0], diff)
		}
	}
}

// held is a connection on which a line goes out and comes back again and again.
type held struct {
	conn   net.Conn
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	lines int
	err   error
}

func hold(ctx context.Context, from *cluster.Host, to netip.AddrPort) (*held, error) {
	conn, err := from.Dial(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &held{conn: conn, cancel: cancel, done: make(chan struct{})}
	go h.run(ctx)
	return h, nil
}

func (h *held) run(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	answers := bufio.NewReader(h.conn)
	for n := 0; ; n++ {
		_, err := fmt.Fprintln(h.conn, n)
		if err == nil {
			_, err = answers.ReadString('\n')
		}
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		h.lines, h.err = h.lines+1, err
		h.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// failure waits for more answers, which a connection that hangs does not give, and returns why there are none.
func (h *held) failure(ctx context.Context) error {
	state := func() (int, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.lines, h.err
	}
	from, err := state()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer any more"))
	defer cancel()
	var ended error
	waited := harness.Eventually(ctx, "answers", func(context.Context) error {
		now, err := state()
		if ended = err; err == nil && now < from+5 {
			return fmt.Errorf("%d lines", now-from)
		}
		return nil
	})
	return errors.Join(ended, waited)
}

func (h *held) stop() {
	h.cancel()
	h.conn.Close()
	<-h.done
}
