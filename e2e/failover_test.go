package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

func TestPowerCut(t *testing.T) {
	s := newScene(t)
	silence := powerCut(s)
	s.Logf("silent for %d ms; %d connections failed later", silence.Lasted.Milliseconds(), silence.Later)
}

// powerCut cuts the power of the node that announces a Service whose pods are elsewhere, and returns how long the address
// was silent. The node is running again when the test is over.
func powerCut(s *scene) harness.Silence {
	s.Apply(harness.Web("steady", 2))
	addrs := s.service(2, "steady", "steady", dualStack, 80)
	four, six := addrs[0], addrs[1]
	probe := harness.StartProbe(s.Ctx, lab.Client(1), netip.AddrPortFrom(four, 80))
	defer probe.Stop()
	s.Must(probe.AwaitSuccesses(s.Ctx, 50))
	node := podsElsewhere(s, four)
	restarted := s.NextSpeaker(node)
	s.Later(patience, func(ctx context.Context) error { return errors.Join(lab.StartNode(ctx, node), restarted(ctx)) })
	cut := time.Now()
	s.Must(lab.KillNode(s.Ctx, node))
	silence, err := probe.AwaitSilence(s.Ctx, cut, 50)
	s.Must(err)

	if s.ownerAnswers(four) == node {
		s.Errorf("%s is still announced by the dead node", four)
	}
	s.answer(six, 80)
	s.AnnouncedByOwner("steady", four)
	return silence
}

// podsElsewhere has the web server's pods on other nodes than the address, and returns which one that has. Should the address
// move meanwhile, for a node that was back a while ago takes its share, they are moved again.
func podsElsewhere(s *scene, a netip.Addr) (node int) {
	s.Helper()
	for node != s.Owner(a) {
		node = s.Owner(a)
		name := fmt.Sprintf("n%d", node)
		s.Must(harness.Apply(s.Ctx, lab, harness.WebElsewhere("steady", name)))
		s.Must(harness.AwaitDeployment(s.Ctx, lab, "default", "steady"))
		s.Must(harness.AwaitNoEndpointOn(s.Ctx, k8s, "default", "steady", name))
	}
	return node
}

func TestSpeakerKilledAndRestarted(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "killed", "web", "", 80)[0]
	s.answer(a, 80)
	node := s.Owner(a)
	restarted := s.NextSpeaker(node)
	_, err := lab.ExecInside(s.Ctx, node, "pkill", "-KILL", "-f", "belfry speaker")
	s.Must(err)
	s.Must(restarted(s.Ctx))
	s.answer(a, 80)
	s.ownerAnswers(a)
}
