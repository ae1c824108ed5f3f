package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

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
	s.Cleanup(func() { startNode(s.T, node) })
	s.must(lab.KillNode(s.ctx, node))
	silence, err := probe.AwaitSilence(s.ctx, 50)
	s.must(err)

	next := s.owner(four)
	if next == node {
		s.Errorf("%s is still announced by the dead node", four)
	}
	s.oneAnswers(four, next)
	s.answer(six, 80)
	return silence
}

func startNode(t *testing.T, node int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := lab.StartNode(ctx, node); err != nil {
		t.Error(err)
		return
	}
	if _, err := harness.Kubectl(ctx, lab, nil, "--namespace", harness.Namespace, "rollout", "status", "daemonset/belfry-speaker", "--timeout=2m"); err != nil {
		t.Error(err)
	}
}

func TestSpeakerKilledAndRestarted(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "killed", "web", "", 80)[0]
	s.answer(a, 80)
	node := s.owner(a)
	_, err := lab.ExecInside(s.ctx, node, "pkill", "-KILL", "-f", "belfry speaker")
	s.must(err)
	s.eventually("the speaker of the node to be restarted", func() error {
		out, err := harness.Kubectl(s.ctx, lab, nil, "--namespace", harness.Namespace, "get", "pods", "-l", "app.kubernetes.io/component=speaker",
			"--field-selector", fmt.Sprintf("spec.nodeName=n%d", node), "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount} {.items[0].status.containerStatuses[0].ready}")
		if err == nil && out != "1 true" {
			err = fmt.Errorf("restarts and readiness: %s", out)
		}
		return err
	})
	s.answer(a, 80)
	s.oneAnswers(a, s.owner(a))
}
