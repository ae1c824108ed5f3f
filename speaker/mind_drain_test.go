package speaker

import (
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/members"
)

// TestDrainEnds: a node that has told the others that it drains does not take that for a reason to go on.
func TestDrainEnds(t *testing.T) {
	m := newMind("n1", RestartWindow, holdDown, logr.Discard())
	roster := []members.Member{{Name: "n1", State: members.Draining}, {Name: "n2", State: members.Draining}}
	nodes := m.nodes(time.Now(), []spec.Node{{Name: "n1"}, {Name: "n2"}}, roster)
	if nodes[0].Draining || !nodes[1].Draining {
		t.Errorf("this node drains: %t, the other: %t", nodes[0].Draining, nodes[1].Draining)
	}
}
