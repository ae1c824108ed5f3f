package l2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestDrain: kubectl drain takes a node's pods away and leaves its addresses; the drain taint moves them, so that every new
// connection succeeds and nobody hears of the old node after the new one. Nothing moves back.
func TestDrain(t *testing.T) {
	p := begin(t)
	node := fmt.Sprintf("n%d", p.victim)
	p.Later(patience, func(ctx context.Context) error {
		_, err := harness.Kubectl(ctx, p.Lab, nil, "uncordon", node)
		return err
	})
	p.Kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=2m")
	p.flow(50)
	p.nothingMoved()
	if lost := p.held.Lost(p.Ctx); len(lost) > 0 {
		p.Errorf("kubectl drain broke %d held connections, the first: %v", len(lost), lost[0])
	}
	p.drain()
	now := p.moved()
	p.undrain()
	p.Kubectl("uncordon", node)
	p.Must(atRest(p.Ctx, stage))
	p.flow(50)
	p.movedOnce(now)
	p.toll()
}

// drain and undrain set and take the taint.
func (p *play) drain() {
	p.Helper()
	p.Later(patience, func(ctx context.Context) error {
		_, err := harness.Kubectl(ctx, p.Lab, nil, "taint", "node", fmt.Sprintf("n%d", p.victim), "belfry.dev/drain-", "--overwrite")
		if err != nil && strings.Contains(err.Error(), "not found") { // it was taken away already
			return nil
		}
		return err
	})
	p.Kubectl("taint", "node", fmt.Sprintf("n%d", p.victim), "belfry.dev/drain=:NoSchedule")
}

func (p *play) undrain() {
	p.Helper()
	p.Kubectl("taint", "node", fmt.Sprintf("n%d", p.victim), "belfry.dev/drain-")
}

// TestCarrierLoss: a cable is pulled and plugged in again. The addresses move once, and for good.
func TestCarrierLoss(t *testing.T) {
	p := begin(t)
	p.Later(patience, func(ctx context.Context) error { return p.Lab.RestoreLink(ctx, p.victim) })
	p.Must(p.Lab.CutLink(p.Ctx, p.victim))
	now := p.moved()
	p.alone()
	p.Must(p.Lab.RestoreLink(p.Ctx, p.victim))
	p.Must(atRest(p.Ctx, stage))
	p.flow(100)
	p.movedOnce(now)
	p.stays(now)
	p.toll()
}

// alone waits until the victim's speaker has given all others up.
func (p *play) alone() {
	p.Helper()
	p.Eventually(fmt.Sprintf("n%d to be alone", p.victim), func() error {
		page, err := p.Lab.Node(p.victim).Curl(p.Ctx, "http://127.0.0.1:7980/metrics")
		if err == nil && !strings.Contains(page, "\nbelfry_members_alive 1\n") {
			err = fmt.Errorf("it sees others")
		}
		return err
	})
}

// stays fails unless each address is still announced by the node, alone.
func (p *play) stays(now map[netip.Addr]int) {
	p.Helper()
	for a, n := range now {
		if got := p.Owner(a); got != n {
			p.Errorf("%s moved from n%d to n%d", a, n, got)
		}
		p.OneAnswers(p.Lab.Client(2), a, n)
	}
}

// TestPowerCut: a node dies and comes back. Its addresses move to others and stay there; connections that were made
// since are not broken by its return.
func TestPowerCut(t *testing.T) {
	p := begin(t)
	p.mend(p.victim)
	p.Must(p.Lab.KillNode(p.Ctx, p.victim))
	now := p.moved()
	fresh := p.holdMore()
	p.powerOn()
	p.flow(100)
	p.movedOnce(now)
	p.stays(now)
	if lost := fresh.Lost(p.Ctx); len(lost) > 0 {
		p.Errorf("the node's return broke %d connections, the first: %v", len(lost), lost[0])
	}
	p.toll()
}

// holdMore holds connections to the addresses where they are now.
func (p *play) holdMore() *harness.Held {
	p.Helper()
	var echo []netip.AddrPort
	for _, a := range p.addrs {
		echo = append(echo, netip.AddrPortFrom(a, 7000))
	}
	h, err := harness.Hold(p.Ctx, p.client(), heldConnections, echo...)
	p.Must(err)
	p.Cleanup(h.Stop)
	return h
}

// powerOn switches the victim on and waits until it takes part again.
func (p *play) powerOn() {
	p.Helper()
	restarted := p.NextSpeaker(p.victim)
	p.Must(p.Lab.StartNode(p.Ctx, p.victim))
	p.Must(restarted(p.Ctx))
	p.Must(atRest(p.Ctx, stage))
}

// preferred is a pool of one address for which n1 is preferred, and the Service that has it.
func preferred(failback string) func(*harness.Scene) []netip.Addr {
	return func(s *harness.Scene) []netip.Addr {
		s.Helper()
		s.Apply(fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: preferred}
spec: {autoAssign: false, addresses: [%s]}
---
apiVersion: belfry.dev/v1beta1
kind: L2Advertisement
metadata: {name: preferred}
spec:
  ipAddressPools: [preferred]
  failback: %s
  preferredNodeSelectors:
    - {weight: 100, preference: {matchLabels: {kubernetes.io/hostname: n1}}}
---
`, s.Lab.Addr4(230), failback) + asking("preferred", "web", "preferred", "", 80, 7000))
		defer s.AwaitRules("preferred")
		return s.Addresses("preferred", 1)
	}
}

// asking is a Service that asks for an address of a pool.
func asking(name, app, pool, extra string, ports ...int) string {
	return strings.Replace(harness.Service(name, app, extra, ports...), "  name: "+name+"\n",
		fmt.Sprintf("  name: %s\n  annotations: {belfry.dev/pool: %s}\n", name, pool), 1)
}

// TestRebootWithFailback: a node reboots that is preferred for an address. It takes the address back, but not before
// kube-proxy has written its rules there, and without a failed connection.
func TestRebootWithFailback(t *testing.T) {
	reachDirectly(harness.NewScene(t, stage, patience))
	p := beginWith(t, preferred("immediate"))
	if p.victim != 1 {
		t.Fatalf("n%d announces it", p.victim)
	}
	p.mend(1)
	p.Must(p.Lab.KillNode(p.Ctx, 1))
	now := p.moved()
	released := p.forbidProxy()
	restarted := p.NextSpeaker(1)
	up := make(chan error, 1)
	go func() { up <- p.Lab.StartNode(p.Ctx, 1) }()
	p.Eventually("a speaker on n1 whose kube-proxy is not ready", func() error {
		return p.waiting(1)
	})
	p.flow(100)
	p.movedOnce(now)
	p.Must(released())
	p.Must(errors.Join(<-up, restarted(p.Ctx)))
	p.returned(now)
	p.toll()
}

// returned waits until n1 has the address again, and fails unless it moved there and back and no more.
func (p *play) returned(now map[netip.Addr]int) {
	p.Helper()
	a := p.addrs[0]
	p.Eventually("n1 to have it back", func() error {
		if sights := p.told(p.quiet, a, p.began); sights[len(sights)-1].MAC != p.MAC(1) {
			return fmt.Errorf("it was told last at %s", sights[len(sights)-1].MAC)
		}
		return nil
	})
	p.Must(atRest(p.Ctx, stage))
	p.flow(50)
	if got, want := harness.Stations(p.told(p.asker, a, p.began)), []string{p.MAC(1), p.MAC(now[a]), p.MAC(1)}; !slices.Equal(got, want) {
		p.Errorf("stations %v, want %v", got, want)
	}
}

// forbidProxy has kube-proxies that start from now on see no Service. It returns what lets them.
func (p *play) forbidProxy() (release func() error) {
	p.Helper()
	const binding = "clusterrolebinding/system:node-proxier"
	manifest := p.Kubectl("get", binding, "-o", "yaml")
	restore := func(ctx context.Context) error {
		_, err := harness.Kubectl(ctx, p.Lab, strings.NewReader(manifest), "replace", "--force", "-f", "-")
		return err
	}
	p.Later(patience, restore)
	p.Kubectl("delete", binding)
	return func() error { return restore(p.Ctx) }
}

// waiting returns nil when the node's speaker takes part and finds that kube-proxy is not ready.
func (p *play) waiting(node int) error {
	var o v1beta1.SpeakerStatus
	if err := p.K8s.Get(p.Ctx, client.ObjectKey{Name: fmt.Sprintf("n%d", node)}, &o); err != nil {
		return err
	}
	if o.Status.State != "ready" || o.Status.Dataplane != "unhealthy" && o.Status.Dataplane != "waiting" {
		return fmt.Errorf("it is %s, its dataplane %s", o.Status.State, o.Status.Dataplane)
	}
	return nil
}
