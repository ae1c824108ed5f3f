package l2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// heldConnections are spread over the addresses that are watched.
const heldConnections = 20

// play is one thing that happens to a node, and all that is noticed of it.
type play struct {
	*harness.Scene
	victim int          // the node
	addrs  []netip.Addr // those that it announced when the play began, IPv4 first
	began  time.Time

	visits *harness.Probe
	held   *harness.Held
	asker  *harness.Witness // on c2
	quiet  *harness.Witness // on c1, which only listens
}

// begin waits for rest, picks a node without pods that announces some of the common addresses, and lets traffic flow to those.
func begin(t *testing.T) *play {
	t.Helper()
	return beginWithin(t, patience)
}

// beginWithin is begin for a test that takes longer.
func beginWithin(t *testing.T, patience time.Duration) *play {
	t.Helper()
	p := &play{Scene: harness.NewScene(t, stage, patience)}
	p.Must(atRest(p.Ctx, stage))
	has := map[int][]netip.Addr{}
	for i := range services {
		for _, a := range p.Addresses(name(i), 2) {
			n := p.Owner(a)
			has[n] = append(has[n], a)
		}
	}
	p.victim = 1
	if len(has[2]) > len(has[1]) {
		p.victim = 2
	}
	p.watch(has[p.victim]...)
	return p
}

// beginWith is begin with addresses of the test's own, all of which one node announces.
func beginWith(t *testing.T, make func(*harness.Scene) []netip.Addr) *play {
	t.Helper()
	p := &play{Scene: harness.NewScene(t, stage, patience)}
	p.Must(atRest(p.Ctx, stage))
	addrs := make(p.Scene)
	p.victim = p.Owner(addrs[0])
	p.watch(addrs...)
	return p
}

// watch lets traffic flow to these addresses, which the victim announces.
func (p *play) watch(addrs ...netip.Addr) {
	p.Helper()
	if len(addrs) == 0 {
		p.Fatalf("n%d announces nothing", p.victim)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	p.addrs = addrs
	var echo []netip.AddrPort
	for _, a := range addrs {
		p.Answer(p.client(), a, 80)
		echo = append(echo, netip.AddrPortFrom(a, 7000))
	}
	var err error
	p.asker, err = harness.StartWitness(p.Ctx, p.Lab.Client(2), true, addrs...)
	p.Must(err)
	p.Cleanup(p.asker.Stop)
	p.quiet, err = harness.StartWitness(p.Ctx, p.client(), false, addrs...)
	p.Must(err)
	p.Cleanup(p.quiet.Stop)
	p.held, err = harness.Hold(p.Ctx, p.client(), heldConnections, echo...)
	p.Must(err)
	p.Cleanup(p.held.Stop)
	p.began = time.Now()
	p.Cleanup(p.explain)
	p.visits = harness.StartVisits(p.Ctx, p.client(), netip.AddrPortFrom(addrs[0], 80))
	p.Cleanup(p.visits.Stop)
	p.Must(p.visits.AwaitSuccesses(p.Ctx, 20))
}

func (p *play) client() *cluster.Host { return p.Lab.Client(1) }

// flow waits until so many more connections have succeeded: what happened before shows in them.
func (p *play) flow(n int) {
	p.Helper()
	ok, _ := p.visits.Counts()
	p.Must(p.visits.AwaitSuccesses(p.Ctx, ok+n))
}

// toll ends the connections and counts what they suffered. No connection may fail, however it came; the requests that
// were cut off and the held connections that were lost are for the caller to judge.
func (p *play) toll() (t harness.Tally, lost int) {
	p.Helper()
	p.flow(50)
	broken := p.held.Lost(p.Ctx)
	p.visits.Finish()
	t = p.visits.Tally(p.began)
	p.Logf("%s; of %d held connections %d were lost", t, p.held.Count(), len(broken))
	if t.Lost() > 0 {
		p.Errorf("%d connections failed:\n%s", t.Lost(), strings.Join(p.visits.Failures(p.began), "\n"))
	}
	if len(broken) > 0 {
		p.Logf("the first: %v", broken[0])
	}
	return t, len(broken)
}

// unharmed is toll where nothing may suffer.
func (p *play) unharmed() {
	p.Helper()
	if t, lost := p.toll(); t.Resets()+lost > 0 {
		p.Errorf("%d requests were cut off, %d held connections lost", t.Resets(), lost)
	}
}

// witnesses are those on the LAN, by what they are called in messages.
func (p *play) witnesses() map[string]*harness.Witness {
	return map[string]*harness.Witness{"who asks": p.asker, "who listens": p.quiet}
}

// told returns what a witness was told of an address since the play began.
func (p *play) told(w *harness.Witness, a netip.Addr, since time.Time) []harness.Sight {
	p.Helper()
	sights, err := w.Sights(a, since)
	p.Must(err)
	return sights
}

// nothingMoved fails unless all addresses were told to be at the victim's hardware address all the time, with nothing
// said unasked by another station, and are the victim's still.
func (p *play) nothingMoved() {
	p.Helper()
	mac := p.MAC(p.victim)
	for _, a := range p.addrs {
		if err := harness.Stayed(p.told(p.asker, a, p.began), mac); err != nil {
			p.Errorf("%s: %v", a, err)
		}
		if got := harness.Stations(p.told(p.quiet, a, p.began)); len(got) > 1 || len(got) == 1 && got[0] != mac {
			p.Errorf("%s: who only listens was told of %v, not of %s alone", a, got, mac)
		}
		if n := p.Owner(a); n != p.victim {
			p.Errorf("%s moved from n%d to n%d", a, p.victim, n)
		}
	}
}

// moved waits until all addresses have left the victim, and fails if anybody was told of the victim's hardware address after the
// next owner's. It returns who has each.
func (p *play) moved() map[netip.Addr]int {
	p.Helper()
	now := map[netip.Addr]int{}
	for _, a := range p.addrs {
		now[a] = p.elsewhere(a)
		mac := p.MAC(now[a])
		p.Eventually(fmt.Sprintf("%s to be told at n%d", a, now[a]), func() error {
			_, err := harness.Announced(p.told(p.quiet, a, p.began), mac)
			return err
		})
	}
	p.flow(20)
	p.movedOnce(now)
	return now
}

// movedOnce fails if anybody was told of the victim after the next owner.
func (p *play) movedOnce(now map[netip.Addr]int) {
	p.Helper()
	for a, n := range now {
		for who, w := range p.witnesses() {
			if err := harness.Moved(p.told(w, a, p.began), p.MAC(p.victim), p.MAC(n)); err != nil {
				p.Errorf("%s, %s: %v", a, who, err)
			}
		}
	}
}

// elsewhere waits until one node that runs, and not the victim, announces the address.
func (p *play) elsewhere(a netip.Addr) (node int) {
	p.Helper()
	p.Eventually(fmt.Sprintf("%s to leave n%d", a, p.victim), func() error {
		node = 0
		for _, n := range others(p.victim) {
			owners, err := harness.Owners(p.Ctx, p.K8s, a)
			if err != nil {
				return err
			}
			if slices.Contains(owners, fmt.Sprintf("n%d", n)) && p.Lab.Running(n) {
				if node != 0 {
					return fmt.Errorf("announced by %v", owners)
				}
				node = n
			}
		}
		if node == 0 {
			return fmt.Errorf("nobody else announces it")
		}
		return nil
	})
	return node
}

// mend has a node running, its cable in and the API server there when the test is over.
func (p *play) mend(node int) {
	p.Helper()
	restarted := p.NextSpeaker(node)
	p.Later(patience, func(ctx context.Context) error {
		if p.Lab.Running(node) {
			return nil
		}
		if err := p.Lab.StartNode(ctx, node); err != nil {
			return err
		}
		return restarted(ctx)
	})
}

// explain tells, when the test has failed, what the LAN was told and what the speakers said.
func (p *play) explain() {
	if !p.Failed() {
		return
	}
	for _, n := range nodes() {
		p.Logf("n%d is %s", n, p.MAC(n))
	}
	for _, a := range p.addrs {
		for who, w := range p.witnesses() {
			p.Logf("%s, %s:\n%s", a, who, harness.Story(p.told(w, a, p.began), p.began))
		}
	}
	since := "--since-time=" + p.began.UTC().Format(time.RFC3339)
	for _, previous := range []string{"--previous=true", "--previous=false"} {
		out, err := harness.Kubectl(context.Background(), p.Lab, nil, "logs", "--namespace", harness.Namespace, "--prefix",
			"-l", "app.kubernetes.io/component=speaker", "--tail=-1", "--ignore-errors", since, previous)
		p.Logf("%v\n%s", err, out)
	}
}

// inside runs a command on a node.
func (p *play) inside(node int, args ...string) {
	p.Helper()
	_, err := p.Lab.ExecInside(p.Ctx, node, args...)
	p.Must(err)
}
