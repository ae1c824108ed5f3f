package l2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestPartition divides the LAN: the victim and c2 on one side, all the others on the other. Each side has its own announcer, which
// hosts there are told of. When it is whole again there is one, and all hosts are told who.
func TestPartition(t *testing.T) {
	p := begin(t)
	p.Later(patience, p.Lab.Heal)
	p.Must(p.Lab.Partition(p.Ctx, fmt.Sprintf("n%d", p.victim), "c2"))
	there := map[netip.Addr]string{}
	for _, a := range p.addrs {
		p.Eventually(fmt.Sprintf("%s to be told on the other side", a), func() error {
			sights := p.told(p.quiet, a, p.began)
			i := slices.IndexFunc(sights, func(s harness.Sight) bool { return s.Unasked && s.MAC != p.MAC(p.victim) })
			if i < 0 {
				return fmt.Errorf("it is not")
			}
			there[a] = sights[i].MAC
			return nil
		})
		p.OneAnswers(p.Lab.Client(2), a, p.victim)
	}
	p.flow(50) // from c1, on the side with the pods
	p.foreign()

	p.Must(p.Lab.Heal(p.Ctx))
	p.Must(atRest(p.Ctx, stage))
	for _, a := range p.addrs {
		n := p.Owner(a)
		p.OneAnswers(p.Lab.Client(2), a, n)
		mac := p.MAC(n)
		for who, w := range p.witnesses() {
			p.Eventually(fmt.Sprintf("%s to be told of %s on n%d last", who, a, n), func() error {
				sights := p.told(w, a, p.began)
				if last := sights[len(sights)-1]; last.MAC != mac {
					return fmt.Errorf("it was told last at %s", last.MAC)
				}
				return nil
			})
		}
		p.Answer(p.Lab.Client(1), a, 80)
		p.Answer(p.Lab.Client(2), a, 80)
	}
	p.toll()
}

// foreign waits until the victim, alone on its side, has all addresses.
func (p *play) foreign() {
	p.Helper()
	for i := range services {
		for _, a := range p.Addresses(name(i), 2) {
			p.OneAnswers(p.Lab.Client(2), a, p.victim)
		}
	}
}

// TestNodeDiesWithoutTheAPIServer: the API server is away when a node dies. Its addresses move, and stay when both are back.
func TestNodeDiesWithoutTheAPIServer(t *testing.T) {
	p := begin(t)
	p.dieUnseen(func() { p.flow(100) })
	p.toll()
}

// dieUnseen stops the API server, cuts the victim's power and, after a while, brings both back.
func (p *play) dieUnseen(while func()) {
	p.Helper()
	p.mend(p.victim)
	p.Later(patience, p.Lab.StartAPIServer)
	p.Must(p.Lab.StopAPIServer(p.Ctx))
	p.flow(50)
	p.Must(p.Lab.KillNode(p.Ctx, p.victim))
	macs := map[netip.Addr]string{}
	for _, a := range p.addrs {
		p.Eventually(fmt.Sprintf("%s to be told elsewhere", a), func() error {
			sights := p.told(p.quiet, a, p.began)
			if len(sights) == 0 || sights[len(sights)-1].MAC == p.MAC(p.victim) {
				return fmt.Errorf("%d frames", len(sights))
			}
			macs[a] = sights[len(sights)-1].MAC
			return nil
		})
	}
	while()
	p.Must(p.Lab.StartAPIServer(p.Ctx))
	p.powerOn()
	p.flow(50)
	for _, a := range p.addrs {
		for who, w := range p.witnesses() {
			if err := harness.Moved(p.told(w, a, p.began), p.MAC(p.victim), macs[a]); err != nil {
				p.Errorf("%s, %s: %v", a, who, err)
			}
		}
	}
}

// TestLocalFollowsItsPods: with externalTrafficPolicy Local the address is where a pod is. The pod is moved, by a rolling
// update that keeps the old one serving until others know of the new one. The move is a clean one.
func TestLocalFollowsItsPods(t *testing.T) {
	p := beginWith(t, func(s *harness.Scene) []netip.Addr {
		s.Apply(pinned("local", 1))
		s.Apply(harness.Service("local", "local", "externalTrafficPolicy: Local", 80, 7000))
		s.Must(harness.AwaitDeployment(s.Ctx, s.Lab, "default", "local"))
		defer s.AwaitRules("local")
		return s.Addresses("local", 1)
	})
	a := p.addrs[0]
	if p.victim != 1 {
		t.Fatalf("n%d announces %s, and the pod is on n1", p.victim, a)
	}
	p.Must(harness.Apply(p.Ctx, p.Lab, pinned("local", 2)))
	p.Must(harness.AwaitDeployment(p.Ctx, p.Lab, "default", "local"))
	if now := p.moved()[a]; now != 2 {
		t.Errorf("n%d announces %s, and the pod is on n2", now, a)
	}
	if got := harness.Field(p.Answer(p.client(), a, 80), "client"); !strings.HasPrefix(got, p.client().V4().String()) {
		t.Errorf("the pod sees client %q", got)
	}
	p.count() // kube-proxy on n2 may write its rules a second after the pod is ready: some connections wait for it, or fail
}

// pinned is a Web of one pod on one node, which goes on serving for some seconds when it is told to end.
func pinned(name string, node int) string {
	web := harness.Web(name, 1, fmt.Sprintf("nodeSelector: {kubernetes.io/hostname: n%d}", node))
	web = strings.Replace(web, "terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 8", 1)
	return strings.Replace(web, "          image:", "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          image:", 1)
}
