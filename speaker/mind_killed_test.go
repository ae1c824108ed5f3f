package speaker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// TestKilledAndBackUnnoticed: the group has not missed a speaker that was killed, and of the new process only facts without
// claims have come, under the state of the old one. The node is away, so that what is remembered of it stands.
func TestKilledAndBackUnnoticed(t *testing.T) {
	encode := func(f facts) []byte {
		b, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	began := time.Unix(1e9, 0)
	m := newMind("n0", RestartWindow, holdDown, logr.Discard())
	m.readyAt = began
	had := facts{Interfaces: simInterfaces("n1", true)}
	had.told(plan.Facts{Claims: []plan.Claim{{Addr: netip.MustParseAddr("192.0.2.1"), Epoch: 1}}})
	refused := encode(facts{Verdicts: map[string]string{"n1": liveness.Refused.String()}})
	see := func(at time.Duration, mine, other []byte) plan.Node {
		return m.nodes(began.Add(at), []spec.Node{{Name: "n0", Ready: true}, {Name: "n1", Ready: true}}, []members.Member{
			{Name: "n0", State: members.Ready, Joins: 1, Current: true, Facts: mine},
			{Name: "n1", State: members.Ready, Joins: 1, Current: true, Facts: other},
		})[1]
	}
	if n := see(0, encode(facts{}), encode(had)); !n.Alive || !n.Ready || n.Away {
		t.Fatalf("before: %+v", n)
	}
	if n := see(time.Second, refused, encode(had)); n.Alive || !n.Away {
		t.Fatalf("killed: %+v", n)
	}
	if n := see(2*time.Second, encode(facts{}), encode(facts{Interfaces: had.Interfaces, Starting: true})); n.Ready || !n.Away {
		t.Errorf("back, without its claims: %+v", n)
	}
	if n := see(3*time.Second, encode(facts{}), encode(had)); !n.Alive || !n.Ready || n.Away {
		t.Errorf("back: %+v", n)
	}
}
