package upgrade

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 15 * time.Minute

const services = 6

// TestUpgrade replaces the product, both ways, under traffic: no new connection fails, none that is held breaks, no address
// changes or moves.
func TestUpgrade(t *testing.T) {
	s := harness.NewScene(t, stage, patience)
	f := start(s)
	forward := append([]string{"upgrade", harness.Release, "charts/belfry", "--set", unhurried}, harness.ImageFlags()...)
	for _, step := range []struct {
		name string
		args []string
	}{
		{"from " + base, forward},
		{"back", []string{"rollback", harness.Release}},
		{"forward again", forward},
		{"the same again", append(forward, "--set", "speaker.podAnnotations.round=2", "--set", "controller.podAnnotations.round=2")},
	} {
		t.Run(step.name, func(t *testing.T) {
			f.during(harness.NewScene(t, stage, patience), func(ctx context.Context) error { return helm(ctx, step.args...) })
		})
	}
}

// flow is the traffic, and where it went when it began.
type flow struct {
	addresses []netip.Addr
	owners    [][]string
}

// start makes Services and waits until each is announced by one node.
func start(s *harness.Scene) *flow {
	s.Helper()
	s.Apply(harness.PoolManifest(s.Lab, "lan", 200, 239))
	s.Apply(harness.Web("web", 3))
	s.Must(harness.AwaitDeployment(s.Ctx, s.Lab, "default", "web"))
	f := &flow{}
	for i := range services {
		s.Apply(harness.Service(name(i), "web", "", 80, 7000))
		a := s.Addresses(name(i), 1)[0]
		s.Answer(s.Lab.Client(1), a, 80)
		s.Owner(a)
		f.addresses, f.owners = append(f.addresses, a), append(f.owners, owners(s, a))
	}
	return f
}

func name(i int) string { return fmt.Sprintf("s%d", i) }

func owners(s *harness.Scene, a netip.Addr) []string {
	s.Helper()
	names, err := harness.Owners(s.Ctx, s.K8s, a)
	s.Must(err)
	return names
}

// during does something and tells what the traffic noticed of it.
func (f *flow) during(s *harness.Scene, do func(context.Context) error) {
	s.Helper()
	from := s.Lab.Client(1)
	var echoes []netip.AddrPort
	var visits []*harness.Probe
	for _, a := range f.addresses {
		echoes = append(echoes, netip.AddrPortFrom(a, 7000))
		p := harness.StartVisits(s.Ctx, from, netip.AddrPortFrom(a, 80))
		s.Cleanup(p.Stop)
		visits = append(visits, p)
	}
	held, err := harness.Hold(s.Ctx, from, 2*services, echoes...)
	s.Must(err)
	s.Cleanup(held.Stop)
	began := time.Now()
	s.Must(do(s.Ctx))
	took := time.Since(began)
	for i, p := range visits {
		ok, _ := p.Counts()
		s.Must(p.AwaitSuccesses(s.Ctx, ok+100)) // what the end of it did shows in connections after it
		p.Finish()
		t := p.Tally(time.Time{})
		if s.Logf("%s: %s", f.addresses[i], t); t.Lost() > 0 || t.Resets() > 0 {
			s.Errorf("%s: %s", f.addresses[i], t)
		}
	}
	lost := held.Lost(s.Ctx)
	s.Logf("it took %d ms; of %d held connections %d were lost", took.Milliseconds(), held.Count(), len(lost))
	for _, err := range lost {
		s.Error(err)
	}
	f.stayed(s)
	f.story(s)
}

// stayed checks that every Service has its address, and every address its node.
func (f *flow) stayed(s *harness.Scene) {
	s.Helper()
	for i, a := range f.addresses {
		addrs, err := harness.AwaitAddresses(s.Ctx, s.K8s, types.NamespacedName{Namespace: "default", Name: name(i)}, 1)
		s.Must(err)
		if addrs[0] != a {
			s.Errorf("%s became %s", a, addrs[0])
		}
		if diff := cmp.Diff(f.owners[i], owners(s, a)); diff != "" {
			s.Errorf("%s moved (-before +after):\n%s", a, diff)
		}
	}
}

// story shows, where something went wrong, what the speakers that run now have to say about it.
func (f *flow) story(s *harness.Scene) {
	s.Helper()
	if s.Failed() {
		s.Log(s.Kubectl("--namespace", harness.Namespace, "logs", "--selector", "app.kubernetes.io/component=speaker", "--prefix", "--tail=200"))
	}
}
