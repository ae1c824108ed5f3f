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
	node := s.Owner(four)
	name := fmt.Sprintf("n%d", node)
	s.Must(harness.Apply(s.Ctx, lab, harness.WebElsewhere("steady", name)))
	s.Must(harness.AwaitDeployment(s.Ctx, lab, "default", "steady"))
	s.Must(harness.AwaitNoEndpointOn(s.Ctx, k8s, "default", "steady", name))

	probe := harness.StartProbe(s.Ctx, lab.Client(1), netip.AddrPortFrom(four, 80))
	defer probe.Stop()
	s.Must(probe.AwaitSuccesses(s.Ctx, 50))
	restarted := s.NextSpeaker(node)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(lab.StartNode(ctx, node), restarted(ctx)); err != nil {
			s.Error(err)
		}
	})
	cut := time.Now()
	s.Must(lab.KillNode(s.Ctx, node))
	silence, err := probe.AwaitSilence(s.Ctx, cut, 50)
	s.Must(err)

	next := s.Owner(four)
	if next == node {
		s.Errorf("%s is still announced by the dead node", four)
	}
	s.oneAnswers(four, next)
	s.answer(six, 80)
	s.AnnouncedBy("steady", four, next)
	return silence
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
	s.oneAnswers(a, s.Owner(a))
}
