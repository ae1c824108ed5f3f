package budget

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// idle is for how long nothing is to be written when nothing happens.
const idle = 15 * time.Second

// What the product promises about writes to the API server, whatever the number of nodes and Services, Leases and Events left
// out.
const (
	mostForAService = 8  // from its creation to the end of its deletion
	mostForARestart = 8  // of one speaker that is back in time
	mostForAFlap    = 8  // of one session: down and up again
	mostForANode    = 16 // that is switched off and on again
)

// TestWrites counts what the API server is asked to write, by its own audit log.
func TestWrites(t *testing.T) {
	s := harness.NewScene(t, stage, patience)
	s.Apply(harness.Service("stays", "web", "", 80))
	s.Owner(s.Addresses("stays", 1)[0])
	l := begin(s)
	if _, _, err := l.settled(s.Ctx); err != nil { // with a young installation's changes over
		t.Fatal(err)
	}
	t.Run("idle", func(t *testing.T) { testIdle(harness.NewScene(t, stage, patience)) })
	t.Run("life of a Service", func(t *testing.T) { testLife(harness.NewScene(t, stage, patience)) })
	t.Run("restart of a speaker", func(t *testing.T) { testRestart(harness.NewScene(t, stage, patience)) })
	t.Run("flap of a session", func(t *testing.T) { testFlap(harness.NewScene(t, stage, patience)) })
	t.Run("restart of a node", func(t *testing.T) { testNodeRestart(harness.NewScene(t, stage, patience)) })
}

// begin begins to count.
func begin(s *harness.Scene) *ledger {
	s.Helper()
	l, err := open()
	s.Must(err)
	return l
}

// end waits until all is written, tells the figures, and fails where they are higher than promised.
func (l *ledger) end(s *harness.Scene, most int) {
	s.Helper()
	writes, events, err := l.settled(s.Ctx)
	s.Must(err)
	s.Logf("writes %s; events %s", listed(writes), listed(events))
	if sum(writes) > most {
		s.Errorf("%d writes, %d are promised:\n%s", sum(writes), most, strings.Join(l.lines, "\n"))
	}
}

// testIdle: what nobody changes is not written again, though nodes renew their Leases and report their state.
func testIdle(s *harness.Scene) {
	l := begin(s)
	over := time.Now().Add(idle)
	s.Eventually("time to pass", func() error {
		if left := time.Until(over); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	writes, events, err := l.written()
	s.Must(err)
	if s.Logf("in %s: writes %s; events %s", idle, listed(writes), listed(events)); sum(writes)+sum(events) > 0 {
		s.Errorf("it writes though nothing happens: %s; events %s", listed(writes), listed(events))
	}
}

// testLife counts from creation to address, announcement, deletion.
func testLife(s *harness.Scene) {
	l := begin(s)
	s.Must(harness.Apply(s.Ctx, s.Lab, harness.Service("lives", "web", "", 80)))
	a := s.Addresses("lives", 1)[0]
	s.Answer(s.Lab.Client(1), a, 80)
	s.AnnouncedByOwner("lives", a)
	born, _, err := l.settled(s.Ctx)
	s.Must(err)
	s.Logf("until it is announced: %s", listed(born))
	s.Kubectl("delete", "service", "lives")
	l.end(s, mostForAService)
}

// testRestart counts while the speaker that announces an address is replaced by another.
func testRestart(s *harness.Scene) {
	node := s.Owner(s.Addresses("stays", 1)[0])
	another := s.NextSpeaker(node)
	l := begin(s)
	s.Kubectl("--namespace", harness.Namespace, "delete", "pod", "--wait=false",
		"--selector", "app.kubernetes.io/component=speaker", "--field-selector", fmt.Sprintf("spec.nodeName=n%d", node))
	s.Must(another(s.Ctx))
	l.end(s, mostForARestart)
}

// testNodeRestart counts while the node that announces an address loses its power, another takes over, and the node comes back.
func testNodeRestart(s *harness.Scene) {
	a := s.Addresses("stays", 1)[0]
	node := s.Owner(a)
	another := s.NextSpeaker(node)
	l := begin(s)
	s.Must(s.Lab.KillNode(s.Ctx, node))
	s.Eventually("another node to announce it", func() error {
		if now := s.Owner(a); now == node {
			return fmt.Errorf("n%d does", now)
		}
		return nil
	})
	s.AnnouncedByOwner("stays", a)
	s.Must(s.Lab.StartNode(s.Ctx, node))
	s.Must(another(s.Ctx))
	l.end(s, mostForANode)
}
