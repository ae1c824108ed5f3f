package speaker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/members"
)

// Pauses of the reporter, before jitter.
const (
	writePause = time.Second            // the least time between two writes
	lookPause  = 100 * time.Millisecond // the same of looks that found nothing to write
	// speakersAtOnce is up to how many speakers write as often as that; more write less often.
	speakersAtOnce = 50
	longestRetry   = 30 * time.Second
	retryDoubling  = 5 // failures until the pause has grown to longestRetry
)

// reporter brings the SpeakerStatus of this node to what was last reported, whatever has become of it meanwhile. While
// the cache shows that, it asks and writes nothing.
type reporter struct {
	node   string
	client client.Client // reads come from the cache
	direct client.Reader // the API server itself, before each write
	log    logr.Logger
	wrote  func(error) // counts a write
	wanted atomic.Pointer[v1beta1.SpeakerStatusStatus]
	look   signal // what is wanted or what is there may have changed
	demand signal // a report would be looked at now
	pause  time.Duration
}

func newReporter(node string, c client.Client, direct client.Reader, log logr.Logger, wrote func(error)) *reporter {
	return &reporter{node: node, client: c, direct: direct, log: log, wrote: wrote, look: newSignal(), demand: newSignal(), pause: writePause}
}

// report hands over what the status should be. It never blocks.
func (r *reporter) report(s v1beta1.SpeakerStatusStatus) {
	r.wanted.Store(&s)
	r.look.raise()
}

func (r *reporter) run(ctx context.Context) {
	failures := 0
	for {
		r.demand.raise()
		select {
		case <-ctx.Done():
			return
		case <-r.look:
		}
		wrote, err := r.bring(ctx)
		if err != nil && ctx.Err() == nil {
			r.tell(err, failures)
			sleep(ctx, jitter(min(r.pause<<min(failures, retryDoubling), longestRetry)))
			failures++
			r.look.raise()
			continue
		}
		if failures = 0; wrote {
			sleep(ctx, jitter(r.pauseOf(r.wanted.Load().Members.Alive)))
		} else {
			sleep(ctx, lookPause)
		}
	}
}

// pauseOf is the least time between two writes where there are so many speakers: together they write 50 times a second at
// most, from a cluster of 50 nodes on.
func (r *reporter) pauseOf(speakers int32) time.Duration {
	return r.pause * time.Duration(max(speakers, speakersAtOnce)) / speakersAtOnce
}

// tell logs the first failure in a row. A conflict is no failure: somebody was faster.
func (r *reporter) tell(err error, failures int) {
	log := r.log
	if failures > 0 || apierrors.IsConflict(err) {
		log = log.V(1)
	}
	log.Info("Could not write SpeakerStatus, trying again", "node", r.node, "reason", err.Error())
}

// bring writes the status if it is not what is wanted.
func (r *reporter) bring(ctx context.Context) (wrote bool, err error) {
	want := r.wanted.Load()
	if want == nil {
		return false, nil
	}
	var o v1beta1.SpeakerStatus
	key := types.NamespacedName{Name: r.node}
	if err := r.client.Get(ctx, key, &o); err == nil && says(&o, want) {
		return false, nil
	}
	o = v1beta1.SpeakerStatus{}
	err = r.direct.Get(ctx, key, &o)
	switch {
	case apierrors.IsNotFound(err):
		if err := r.create(ctx, &o); err != nil {
			return false, fmt.Errorf("creating SpeakerStatus: %w", err)
		}
	case err != nil:
		return false, fmt.Errorf("reading SpeakerStatus: %w", err)
	case says(&o, want):
		return false, nil // the cache is behind
	}
	o.Status = withReady(*want.DeepCopy(), &o) // what the API server answers is written into it
	err = r.client.Status().Update(ctx, &o)
	r.wrote(err)
	if err != nil {
		return false, fmt.Errorf("writing SpeakerStatus: %w", err)
	}
	return true, nil
}

// says tells whether the object says what is wanted.
func says(o *v1beta1.SpeakerStatus, want *v1beta1.SpeakerStatusStatus) bool {
	return equality.Semantic.DeepEqual(o.Status, withReady(*want, o))
}

// Reasons of the condition Ready of a SpeakerStatus.
const (
	// becauseStarting: caches, sockets or the group are not ready yet.
	becauseStarting = "Starting"
	// becauseReady: the speaker may acquire addresses.
	becauseReady = "Ready"
	// becauseRestarting: the addresses wait for the speaker to be back.
	becauseRestarting = "Restarting"
	// becauseDraining: the node is to announce nothing.
	becauseDraining = "Draining"
)

// withReady returns a status with the condition that follows from its state, of the time that the object has it from if it has
// it already.
func withReady(s v1beta1.SpeakerStatusStatus, o *v1beta1.SpeakerStatus) v1beta1.SpeakerStatusStatus {
	c := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: o.Generation}
	switch s.State {
	case members.Ready.String():
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, becauseReady, "the speaker may acquire addresses"
	case members.Restarting.String():
		c.Reason, c.Message = becauseRestarting, "its addresses wait for the speaker to be back"
	case members.Draining.String():
		c.Reason, c.Message = becauseDraining, "the node is to announce nothing"
	default:
		c.Reason, c.Message = becauseStarting, "caches, sockets or the group are not ready yet"
	}
	s.Conditions = slices.Clone(o.Status.Conditions)
	meta.SetStatusCondition(&s.Conditions, c)
	return s
}

var errNoNode = errors.New("its Node is not there yet")

// create makes the object, owned by its Node so that it goes with it.
func (r *reporter) create(ctx context.Context, o *v1beta1.SpeakerStatus) error {
	var node corev1.Node
	err := r.client.Get(ctx, types.NamespacedName{Name: r.node}, &node)
	if apierrors.IsNotFound(err) {
		return errNoNode
	}
	if err != nil {
		return err
	}
	o.Name = r.node
	o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	err = r.client.Create(ctx, o)
	r.wrote(err)
	return err
}

// statusInterfaces writes the interfaces as users read them.
func statusInterfaces(interfaces []l2.Interface) []v1beta1.SpeakerInterface {
	out := make([]v1beta1.SpeakerInterface, len(interfaces))
	for i, n := range interfaces {
		out[i] = v1beta1.SpeakerInterface{Name: n.Name, MAC: n.MAC.String(), Up: n.Up}
		for _, p := range subnets(n.Prefixes) {
			out[i].Subnets = append(out[i].Subnets, p.String())
		}
	}
	return out
}

// statusMembers tells who is there. A speaker that restarts, for which its addresses wait, passes for one that is: otherwise
// every speaker would write twice for each restart of another.
func statusMembers(peers map[string]netip.AddrPort, roster []members.Member, nodes []plan.Node) v1beta1.SpeakerMembers {
	there := slices.Clone(roster)
	for _, n := range nodes {
		if n.Away && !slices.ContainsFunc(roster, func(m members.Member) bool { return m.Name == n.Name }) {
			there = append(there, members.Member{Name: n.Name})
		}
	}
	return v1beta1.SpeakerMembers{Alive: int32(len(there)), Missing: missing(peers, there)} // #nosec G115 -- far fewer
}
