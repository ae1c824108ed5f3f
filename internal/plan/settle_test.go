package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/internal/spec"
)

func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name     string
		is, want []Dataplane
		dead     int // how many of the first nodes have no speaker
	}{
		{name: "no nodes"},
		{name: "nobody answers anywhere", is: []Dataplane{"waiting", "unknown", "waiting"}, want: []Dataplane{"unknown", "unknown", "unknown"}},
		{name: "another node's answers", is: []Dataplane{"waiting", "healthy", "unknown"}, want: []Dataplane{"waiting", "healthy", "unknown"}},
		{name: "one that is unhealthy proves nothing", is: []Dataplane{"waiting", "unhealthy"}, want: []Dataplane{"unknown", "unhealthy"}},
		{name: "nor does a node that is not there", is: []Dataplane{"healthy", "waiting"}, want: []Dataplane{"healthy", "unknown"}, dead: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes := make([]Node, len(c.is))
			for i, d := range c.is {
				nodes[i] = Node{Node: spec.Node{Ready: true, Excluded: true}, Alive: i >= c.dead, Dataplane: d}
			}
			if told := Settle(nodes, spec.NodeRules{}); told != (len(nodes) > 0) {
				t.Errorf("told %v about the label", told)
			}
			var got []Dataplane
			for _, n := range nodes {
				got = append(got, n.Dataplane)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
