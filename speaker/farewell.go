package speaker

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/members"
)

const (
	// handoverMost is how long a speaker that was told to stop waits for others to take its addresses over.
	handoverMost = 3 * time.Second
	// silence is how long it stays afterwards, its node still forwarding, for neighbours that have not heard of the move.
	silence = 2 * time.Second
	// lastLook bounds the question of why the speaker is told to stop. It goes on answering meanwhile.
	lastLook = 500 * time.Millisecond
)

// OnRestart says what becomes of a speaker's addresses when it is told to stop, and its node is not.
type OnRestart string

// The two ways.
const (
	// StandIn has another node answer in this one's stead until the speaker is back.
	StandIn OnRestart = "stand-in"
	// Handover moves the addresses, for networks that inspect who says what in ARP.
	Handover OnRestart = "handover"
)

// farewell is how a speaker ends. Restart, drain and crash are told apart: a drained node gives its addresses away; a
// speaker that is merely restarted says so, and nothing moves.
type farewell struct {
	draining atomic.Bool
	asked    chan struct{} // wakes the passes
	empty    chan struct{} // closed by the passes when nothing is left to hand over
}

func newFarewell() *farewell {
	return &farewell{asked: make(chan struct{}, 1), empty: make(chan struct{})}
}

// drains tells the passes to give everything away.
func (f *farewell) drains() bool { return f.draining.Load() }

// see is told by the passes what is left.
func (f *farewell) see(p plan.Plan) {
	if !f.drains() || len(p.Claims) > 0 || len(p.Ceded) > 0 {
		return
	}
	select {
	case <-f.empty:
	default:
		close(f.empty)
	}
}

// handOver returns when nothing is left, or it has taken too long, and some silence after that; or when live has ended.
func (f *farewell) handOver(live context.Context) {
	f.draining.Store(true)
	f.asked <- struct{}{}
	most, stop := context.WithTimeout(live, handoverMost)
	defer stop()
	select {
	case <-f.empty:
	case <-most.Done():
	}
	sleep(live, silence)
}

// part says goodbye to the group when ctx has ended, and returns when the rest may end, too.
func (s *Speaker) part(ctx, live context.Context, f *farewell, g interface {
	SetState(members.State)
	SetStopMode(members.StopMode)
}) {
	select {
	case <-ctx.Done():
	case <-live.Done():
	}
	switch {
	case live.Err() != nil: // a part has failed
	case !s.ready.Load():
		g.SetStopMode(members.StopVanish)
	case s.o.OnRestart == Handover || s.drained():
		s.o.Log.Info("Handing addresses over", "node", s.o.Node)
		f.handOver(live)
	default:
		s.o.Log.Info("Restarting", "node", s.o.Node)
		g.SetState(members.Restarting)
		g.SetStopMode(members.StopVanish)
	}
}

// drained tells whether the node is to be left for good, or is about to shut down. It asks the API server: what marks the node
// and what stops its speaker often come from the same hand, and a cache may hear of the first after the second. While the API
// server is away the cache will do.
func (s *Speaker) drained() bool {
	ctx, stop := context.WithTimeout(context.Background(), lastLook)
	defer stop()
	var o corev1.Node
	key := types.NamespacedName{Name: s.o.Node}
	if s.o.Direct.Get(ctx, key, &o) != nil && s.o.Client.Get(context.Background(), key, &o) != nil {
		return false
	}
	n := spec.ParseNode(&o)
	s.o.NodeRules.Apply([]*spec.Node{&n})
	return n.Draining || shuttingDown(&o)
}

// shuttingDown reads what the kubelet says when it has been told that the machine goes down (KEP-2000).
func shuttingDown(o *corev1.Node) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue && strings.Contains(c.Message, "node is shutting down") {
			return true
		}
	}
	return false
}
