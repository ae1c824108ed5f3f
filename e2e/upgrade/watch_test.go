package upgrade

import (
	"context"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// visit is how long a client waits for a connection: longer than this program, which is all clients, may be without CPU.
const visit = 30 * time.Second

// watch is the traffic of a leg, and what else is seen of it.
type watch struct {
	visits   map[netip.Addr]*harness.Probe
	held     map[netip.Addr]*harness.Held
	asker    *harness.Witness // on c2, which asks where the addresses are
	statuses *harness.Monitor // of Services
	routes   *harness.Monitor // in the router's kernel
	began    time.Time
}

// watch lets traffic flow.
func (f *flow) watch(s *harness.Scene) *watch {
	s.Helper()
	w := &watch{visits: map[netip.Addr]*harness.Probe{}, held: map[netip.Addr]*harness.Held{}}
	w.statuses = monitor(s, harness.KubectlCommand(s.Ctx, s.Lab, "get", "services", "--watch", "--output",
		`jsonpath={.metadata.name} {.status.loadBalancer.ingress[*].ip}{"\n"}`))
	w.routes = monitor(s, s.Lab.Router(1).Command(s.Ctx, "ip", "-ts", "monitor", "route"))
	logs := monitor(s, harness.KubectlCommand(s.Ctx, s.Lab, append(speakerLogs(), "--tail=0", "--follow")...))
	s.Cleanup(func() { story(s, logs) })
	var err error
	w.asker, err = harness.StartWitness(s.Ctx, s.Lab.Client(2), true, f.lan...)
	s.Must(err)
	s.Cleanup(w.asker.Stop)
	w.began = time.Now()
	for _, a := range f.all() {
		w.visits[a] = harness.StartVisitsWithin(s.Ctx, s.Lab.Client(1), netip.AddrPortFrom(a, 80), visit)
		s.Cleanup(w.visits[a].Stop)
		w.held[a], err = harness.Hold(s.Ctx, s.Lab.Client(1), holds, netip.AddrPortFrom(a, 7000))
		s.Must(err)
		s.Cleanup(w.held[a].Stop)
	}
	return w
}

func monitor(s *harness.Scene, cmd *exec.Cmd) *harness.Monitor {
	s.Helper()
	m, err := harness.StartMonitor(cmd)
	s.Must(err)
	s.Cleanup(func() { m.Stop() })
	return m
}

// more waits for more connections: what has just happened shows in those after it.
func (w *watch) more(s *harness.Scene) {
	s.Helper()
	for _, p := range w.visits {
		ok, _ := p.Counts()
		s.Must(p.AwaitSuccesses(s.Ctx, ok+50))
	}
}

// toll ends the connections and counts what they suffered: nothing, except where an address has moved. Then those break that are
// open, and no new one fails.
func (w *watch) toll(s *harness.Scene, moved map[netip.Addr]bool, took time.Duration) {
	s.Helper()
	var all, failed, cut, held, lost int
	for _, a := range slices.SortedFunc(maps.Keys(w.visits), netip.Addr.Compare) {
		w.visits[a].Finish()
		t := w.visits[a].Tally(w.began)
		broken := w.held[a].Lost(s.Ctx)
		s.Logf("%s: %s", a, t)
		if t.Lost() > 0 {
			s.Errorf("%s: connections failed:\n%s", a, strings.Join(w.visits[a].Failures(w.began), "\n"))
		}
		if (t.Resets() > 0 || len(broken) > 0) && !moved[a] {
			s.Errorf("%s: requests cut off: %v; held connections lost: %v", a, t.Cut, broken)
		}
		all, failed, cut = all+t.Connects, failed+t.Lost(), cut+t.Resets()
		held, lost = held+w.held[a].Count(), lost+len(broken)
	}
	s.Logf("of %d connections %d failed and %d were cut off; of %d held ones %d were lost; it took %d ms", all, failed, cut, held, lost, took.Milliseconds())
}

func speakerLogs() []string {
	return []string{"--namespace", harness.Namespace, "logs", "--selector", "app.kubernetes.io/component=speaker", "--prefix", "--ignore-errors"}
}

// story shows, where something went wrong, what the speakers had to say that ran before and that run now.
func story(s *harness.Scene, before *harness.Monitor) {
	s.Helper()
	if !s.Failed() {
		return
	}
	now, err := harness.Kubectl(context.Background(), s.Lab, nil, append(speakerLogs(), "--tail=200")...)
	s.Logf("%v\n%s\nbefore:\n%s", err, now, before.Stop())
}
