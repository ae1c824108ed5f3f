package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
	"github.com/belfry-lb/belfry/e2e/router"
)

// traffic is what flows while the cluster changes over, and what must not change meanwhile.
type traffic struct {
	began    time.Time
	probes   map[string]*harness.Probe
	statuses monitor // addresses of Services
	routes   monitor // in the router's kernel
	before   map[netip.Addr]int
}

// startRouter starts the router before the nodes. It waits to be called, so that who dials is seen.
func startRouter(ctx context.Context, t *testing.T) {
	t.Helper()
	var c strings.Builder
	fmt.Fprintf(&c, "router bgp %d\n bgp router-id 10.255.0.1\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n bgp bestpath as-path multipath-relax\n", routerASN)
	for _, n := range lab.Nodes() {
		fmt.Fprintf(&c, " neighbor %[1]s remote-as %[2]d\n neighbor %[1]s passive\n neighbor %[1]s password %[3]s\n", n.V4(), asn, password)
	}
	c.WriteString(" address-family ipv4 unicast\n  maximum-paths 8\n")
	for _, n := range lab.Nodes() {
		fmt.Fprintf(&c, "  neighbor %s activate\n", n.V4())
	}
	c.WriteString(" exit-address-family\n")
	frr, err := lab.Router(1).FRR(ctx, c.String())
	must(t, err)
	t.Cleanup(frr.Kill)
	client := lab.Client(1)
	_, err = client.Exec(ctx, "ip", "route", "replace", "203.0.113.0/28", "via", lab.Router(1).V4().String())
	must(t, err)
	t.Cleanup(func() {
		if _, err := client.Exec(context.WithoutCancel(ctx), "ip", "route", "del", "203.0.113.0/28"); err != nil {
			t.Error(err)
		}
	})
	logRouter(t, frr)
}

// logRouter shows what the router has seen when a test has failed.
func logRouter(t *testing.T, frr *router.FRR) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if text, err := frr.Log(); err == nil {
			lines := strings.Split(text, "\n")
			t.Logf("the router's log:\n%s", strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
	})
}

// awaitPaths waits until the router's kernel has paths over exactly these nodes to every routed address.
func awaitPaths(ctx context.Context, t *testing.T, nodes []string) {
	t.Helper()
	var want []string
	for _, n := range nodes {
		h, err := lab.Host(n)
		must(t, err)
		want = append(want, h.V4().String())
	}
	slices.Sort(want)
	for name, a := range services() {
		if !routed(name) {
			continue
		}
		must(t, harness.Eventually(ctx, fmt.Sprintf("paths to %s over %v", name, nodes), func(ctx context.Context) error {
			got, err := paths(ctx, a)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("they are %v", got)
			}
			return err
		}))
	}
}

// paths are the next hops of an address in the router's kernel.
func paths(ctx context.Context, a netip.Addr) ([]string, error) {
	out, err := lab.Router(1).Exec(ctx, "ip", "-j", "route", "show", a.String()+"/32")
	if err != nil {
		return nil, err
	}
	var routes []struct {
		Gateway  string
		Nexthops []struct{ Gateway string }
	}
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("reading %q: %w", out, err)
	}
	all := map[string]bool{}
	for _, r := range routes {
		if r.Gateway != "" {
			all[r.Gateway] = true
		}
		for _, h := range r.Nexthops {
			all[h.Gateway] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// startTraffic opens connections to all addresses all the time, and writes down what changes.
func startTraffic(ctx context.Context, t *testing.T, seen *sessions) *traffic {
	t.Helper()
	f := &traffic{probes: map[string]*harness.Probe{}, before: seen.dialled()}
	const addresses = `jsonpath={.metadata.name} {.status.loadBalancer.ingress[*].ip}{"\n"}`
	f.statuses = start(ctx, t, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, lab.Binaries().Path("kubectl"), "get", "services", "--namespace", namespace, "--watch", "--output", addresses)
		cmd.Env = lab.Env()
		return cmd
	})
	f.routes = start(ctx, t, func(ctx context.Context) *exec.Cmd {
		return lab.Router(1).Command(ctx, "ip", "-ts", "monitor", "route")
	})
	for name, a := range services() {
		p := harness.StartPatientProbe(ctx, lab.Client(1), netip.AddrPortFrom(a, 80))
		t.Cleanup(p.Stop)
		f.probes[name] = p
	}
	for name := range f.probes {
		f.more(ctx, t, name)
	}
	f.began = time.Now()
	return f
}

func start(ctx context.Context, t *testing.T, command func(context.Context) *exec.Cmd) monitor {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd, out := command(ctx), &strings.Builder{}
	cmd.Stdout = out
	must(t, cmd.Start())
	t.Cleanup(cancel)
	return monitor{cancel, cmd.Wait, out}
}

// more waits for more connections: what has just happened shows in those after it.
func (f *traffic) more(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	ok, _ := f.probes[name].Counts()
	must(t, f.probes[name].AwaitSuccesses(ctx, ok+50))
}

// end stops it and tells what it has noticed. With ecmp, other nodes carry what one does not.
func (f *traffic) end(ctx context.Context, t *testing.T, what string, ecmp bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f.probes)) {
		f.more(ctx, t, name)
		p := f.probes[name]
		p.Stop()
		got := p.Patience(f.began)
		t.Logf("%s: %s: %d connections, %d failed, %d reset, %d needed a second packet, %d more; longest silence %d ms",
			what, name, got.Connections, got.Failed, got.Reset, got.Once, got.More, p.Silent(f.began).Milliseconds())
		// A packet that is repeated takes the same path, so one that is dead for longer than a second shows, too.
		gap := routed(name) && !ecmp
		resets := len(lab.Nodes()) // one for each path that goes, or node that an address leaves while a connection is being opened
		if !gap && (got.Failed > 0 || got.Reset > resets || got.More > 0) {
			t.Errorf("%s: %s: %d connections failed, %d were reset, %d needed more than two packets: %v",
				what, name, got.Failed, got.Reset, got.More, p.Failures(f.began))
		}
	}
	f.checkAddresses(t, what)
	changes := f.routes.stop()
	if ecmp && strings.Contains(changes, "Deleted 203.0.113.") {
		t.Errorf("%s: there was a time without a path:\n%s", what, changes)
	}
}

// checkAddresses looks at every status that a Service has had.
func (f *traffic) checkAddresses(t *testing.T, what string) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(f.statuses.stop()) {
		name, a, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen[name] = true
		if want := services()[name]; a != want.String() {
			t.Errorf("%s: %s had %s and was seen with %q", what, name, want, a)
		}
	}
	if len(seen) != len(services()) {
		t.Errorf("%s: of %d Services, statuses of %v were seen", what, len(services()), seen)
	}
}
