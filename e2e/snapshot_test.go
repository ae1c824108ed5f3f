package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestSpeakersRestartWithoutTheAPIServer stops the API server and kills every speaker. The kubelets restart the containers,
// which plan from their snapshots: the address is answered by one node again, and pages come.
func TestSpeakersRestartWithoutTheAPIServer(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "static", "web", "", 80)[0]
	s.answer(a, 80)
	before := s.ownerAnswers(a)
	for n := 1; n <= 3; n++ {
		s.Eventually(fmt.Sprintf("a snapshot on n%d that knows the Service, %s and the pods", n, a), func() error {
			known := fmt.Sprintf(`"Name":"static"}.*"Held":\["%s"\].*"Ready":{"Nodes":\["n1","n2","n3"\]`, a)
			_, err := lab.ExecInside(s.Ctx, n, "sh", "-c",
				"zgrep -q '"+known+"' /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/snapshot/snapshot")
			return err
		})
	}
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := lab.StartAPIServer(ctx); err != nil {
			s.Error(err)
		}
	})
	s.Must(lab.StopAPIServer(s.Ctx))
	for n := 1; n <= 3; n++ {
		_, err := lab.ExecInside(s.Ctx, n, "pkill", "-KILL", "-f", "belfry speaker")
		s.Must(err)
	}
	killed := time.Now()
	var node int
	s.Eventually("the answer of one node for "+a.String(), func() error {
		macs, err := harness.WhoAnswers(s.Ctx, lab.Client(1), a)
		if err != nil || len(macs) != 1 {
			return fmt.Errorf("%v answer: %w", macs, err)
		}
		for n := 1; n <= 3; n++ {
			if mac, err := lab.Node(n).MAC(); err == nil && mac.String() == macs[0].String() {
				node = n
			}
		}
		return nil
	})
	t.Logf("n%d answered before, n%d answers %d ms after all speakers were killed", before, node, time.Since(killed).Milliseconds())
	s.answer(a, 80)
	s.Must(lab.StartAPIServer(s.Ctx))
	s.answer(s.service(1, "afterwards", "web", "", 80)[0], 80)
	s.ownerAnswers(a)
}
