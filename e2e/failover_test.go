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
	s.apply(harness.Web("steady", 2))
	addrs := s.service(2, "steady", "steady", dualStack, 80)
	four, six := addrs[0], addrs[1]
	node := s.owner(four)
	name := fmt.Sprintf("n%d", node)
	s.must(harness.Apply(s.ctx, lab, harness.WebElsewhere("steady", name)))
	s.must(harness.AwaitDeployment(s.ctx, lab, "default", "steady"))
	s.must(harness.AwaitNoEndpointOn(s.ctx, k8s, "default", "steady", name))

	probe := harness.StartProbe(s.ctx, lab.Client(1), netip.AddrPortFrom(four, 80))
	defer probe.Stop()
	s.must(probe.AwaitSuccesses(s.ctx, 50))
	restarted := s.nextSpeaker(node)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(lab.StartNode(ctx, node), restarted(ctx)); err != nil {
			s.Error(err)
		}
	})
	cut := time.Now()
	s.must(lab.KillNode(s.ctx, node))
	silence, err := probe.AwaitSilence(s.ctx, cut, 50)
	s.must(err)

	next := s.owner(four)
	if next == node {
		s.Errorf("%s is still announced by the dead node", four)
	}
	s.oneAnswers(four, next)
	s.answer(six, 80)
	s.announcedBy("steady", four, next)
	return silence
}

// nextSpeaker returns a function that waits until the node has another speaker than now, and that one is ready.
func (s *scene) nextSpeaker(node int) func(context.Context) error {
	s.Helper()
	name := fmt.Sprintf("n%d", node)
	before, _, err := harness.SpeakerOf(s.ctx, k8s, name)
	s.must(err)
	return func(ctx context.Context) error {
		return harness.Eventually(ctx, "a new speaker on "+name, func(ctx context.Context) error {
			id, ready, err := harness.SpeakerOf(ctx, k8s, name)
			if err == nil && (id == before || !ready) {
				err = fmt.Errorf("container %s, before %s, ready %t", id, before, ready)
			}
			return err
		})
	}
}

func TestSpeakerKilledAndRestarted(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "killed", "web", "", 80)[0]
	s.answer(a, 80)
	node := s.owner(a)
	restarted := s.nextSpeaker(node)
	_, err := lab.ExecInside(s.ctx, node, "pkill", "-KILL", "-f", "belfry speaker")
	s.must(err)
	s.must(restarted(s.ctx))
	s.answer(a, 80)
	s.oneAnswers(a, s.owner(a))
}
