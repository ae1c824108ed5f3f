package l2

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestRollingUpdate: all speakers are replaced, one after the other, and nobody notices.
func TestRollingUpdate(t *testing.T) {
	p := begin(t)
	p.rollOut()
	p.nothingMoved()
	p.unharmed()
}

const daemonSet = "daemonset/belfry-speaker"

// rollOut replaces all speakers. The first time that is an update, see reachDirectly.
func (p *play) rollOut() {
	p.Helper()
	if !reachDirectly(p.Scene) {
		p.Kubectl("rollout", "restart", "--namespace", harness.Namespace, daemonSet)
		awaitRollout(p.Scene)
	}
}

// reachDirectly has the speakers reach the API server past kube-proxy, as in clusters whose nodes have a load balancer of
// their own for it: so they can start before kube-proxy. It tells whether that was a change.
func reachDirectly(s *harness.Scene) (changed bool) {
	s.Helper()
	const address = "KUBERNETES_SERVICE_HOST="
	if strings.Contains(s.Kubectl("set", "env", "--list", "--namespace", harness.Namespace, daemonSet), address) {
		return false
	}
	cp, err := s.Lab.Host("cp")
	s.Must(err)
	s.Kubectl("set", "env", "--namespace", harness.Namespace, daemonSet, address+cp.V4().String(), "KUBERNETES_SERVICE_PORT=6443")
	awaitRollout(s)
	return true
}

func awaitRollout(s *harness.Scene) {
	s.Helper()
	s.Kubectl("rollout", "status", "--namespace", harness.Namespace, daemonSet, "--timeout=4m")
	s.Must(atRest(s.Ctx, s.Stage))
}

// TestSpeakerTerminated: a speaker that is told to stop says that it restarts.
func TestSpeakerTerminated(t *testing.T) {
	p := begin(t)
	p.restart("TERM")
	p.nothingMoved()
	p.unharmed()
}

// TestSpeakerKilled: nobody is told that the speaker is gone. Its node answers for it, through another.
func TestSpeakerKilled(t *testing.T) {
	p := begin(t)
	killed := p.restart("KILL")
	p.nothingMoved()
	for _, a := range p.addrs {
		p.Logf("%s was not answered for %d ms", a, harness.Silent(p.told(p.asker, a, killed), killed).Milliseconds())
	}
	p.unharmed()
}

// restart ends the victim's speaker with a signal and holds the kubelet back from starting it again until another node
// answers in its stead for all addresses. It returns when the signal was sent.
func (p *play) restart(signal string) time.Time {
	p.Helper()
	p.freshSpeaker()
	restarted := p.NextSpeaker(p.victim)
	p.inside(p.victim, "pkill", "-STOP", "-x", "kubelet")
	p.Later(patience, func(ctx context.Context) error {
		_, err := p.Lab.ExecInside(ctx, p.victim, "pkill", "-CONT", "-x", "kubelet")
		return err
	})
	ended := time.Now()
	p.inside(p.victim, "pkill", "-"+signal, "-f", "belfry speaker")
	for _, a := range p.addrs {
		p.Eventually(fmt.Sprintf("another node to answer for %s", a), func() error {
			if sights := p.told(p.asker, a, ended); !slices.ContainsFunc(sights, harness.StoodIn) {
				return fmt.Errorf("%d answers, none of them so", len(sights))
			}
			return nil
		})
	}
	p.inside(p.victim, "pkill", "-CONT", "-x", "kubelet")
	p.Must(restarted(p.Ctx))
	p.Must(atRest(p.Ctx, stage))
	return ended
}

// freshSpeaker replaces the victim's speaker if its container has ended before: the kubelet would wait ten seconds and
// more until it starts it again.
func (p *play) freshSpeaker() {
	p.Helper()
	var pods corev1.PodList
	p.Must(p.K8s.List(p.Ctx, &pods, client.InNamespace(harness.Namespace), client.MatchingLabels{"app.kubernetes.io/component": "speaker"}))
	for _, o := range pods.Items {
		if o.Spec.NodeName == fmt.Sprintf("n%d", p.victim) && slices.ContainsFunc(o.Status.ContainerStatuses, restartedBefore) {
			p.replaceSpeaker()
		}
	}
}

func restartedBefore(s corev1.ContainerStatus) bool { return s.RestartCount > 0 }

// replaceSpeaker deletes the victim's speaker, and returns when the next one is there and all is at rest.
func (p *play) replaceSpeaker() {
	p.Helper()
	restarted := p.NextSpeaker(p.victim)
	p.Kubectl("delete", "pods", "--namespace", harness.Namespace, "-l", "app.kubernetes.io/component=speaker", "--field-selector", fmt.Sprintf("spec.nodeName=n%d", p.victim), "--wait=false")
	p.Must(restarted(p.Ctx))
	p.Must(atRest(p.Ctx, stage))
}
