package speaker

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/members"
)

// reporting has the rig's status written, and what speakers reported before there to be read.
func (r *rig) reporting(had map[string]v1beta1.SpeakerL2) *reporter {
	for node, l2 := range had {
		o := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: node}}
		must(r.t, r.api.Create(context.Background(), o))
		o.Status.L2 = l2
		must(r.t, r.api.Status().Update(context.Background(), o))
	}
	writer := newReporter("n1", r.api, r.api, r.logs.logger(), func(error) {})
	r.passer.report = writer.report
	return writer
}

func had(epoch int64, addrs ...string) v1beta1.SpeakerL2 {
	return v1beta1.SpeakerL2{
		Count: int32(len(addrs)), Addresses: addrs, Claims: []v1beta1.SpeakerClaim{{Epoch: epoch, Addresses: addrs}},
	}
}

func (r *rig) statusOf(node string) v1beta1.SpeakerL2 {
	var o v1beta1.SpeakerStatus
	must(r.t, client.IgnoreNotFound(r.api.Get(context.Background(), client.ObjectKey{Name: node}, &o)))
	return o.Status.L2
}

// TestStartingSpeakerKeepsWhatItReported: its sockets are open long before the join window is over. What it would report
// then, that it has nothing, must not take the place of what it is to recall.
func TestStartingSpeakerKeepsWhatItReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		before := had(4, "192.0.2.100")
		writer := r.reporting(map[string]v1beta1.SpeakerL2{"n1": before})
		writing, stop := context.WithCancel(context.Background())
		defer stop()
		go writer.run(writing)
		r.during(func() {
			close(r.wire.opened)
			elapse(10 * writePause)
			if diff := cmp.Diff(before, r.statusOf("n1")); diff != "" || r.wire.passes.Load() == 0 {
				t.Errorf("after %d passes the status differs: %s", r.wire.passes.Load(), diff)
			}
			r.wire.interfaces.Store(&[]l2.Interface{eth0()})
			r.wire.changing.raise()
			close(r.members.settled)
			elapse(10 * writePause)
			if diff := cmp.Diff(before, r.statusOf("n1")); diff != "" {
				t.Error(diff)
			}
		})
		if e := r.wire.desired.Entries[netip.MustParseAddr("192.0.2.100")]; e.Probe || len(e.Interfaces) == 0 {
			t.Errorf("the address that it had is announced as %+v", e)
		}
		if want := []plan.Claim{{Addr: netip.MustParseAddr("192.0.2.100"), Epoch: 4}}; !cmp.Equal(want, r.mind.facts.Claims, equalPrefixes) {
			t.Errorf("claims %v, had %v", r.mind.facts.Claims, want)
		}
	})
}

// TestRecall: what is taken up at the end of the join window, and from whom.
func TestRecall(t *testing.T) {
	web := netip.MustParseAddr("192.0.2.100")
	claims := func(node string, epoch uint64) map[string][]plan.Claim {
		return map[string][]plan.Claim{node: {{Addr: web, Epoch: epoch}}}
	}
	tests := []struct {
		name   string
		had    map[string]v1beta1.SpeakerL2
		roster []members.Member
		said   map[string][]plan.Claim // in the group, before
		want   map[string][]plan.Claim
	}{
		{"nothing", nil, nil, nil, map[string][]plan.Claim{}},
		{"its own", map[string]v1beta1.SpeakerL2{"n1": had(4, "192.0.2.100")}, nil, nil, claims("n1", 4)},
		{"its own, of a version without claims", map[string]v1beta1.SpeakerL2{"n1": {Addresses: []string{"192.0.2.100"}}}, nil, nil, claims("n1", 1)},
		{"of a peer that is not there", map[string]v1beta1.SpeakerL2{"n2": had(4, "192.0.2.100")}, nil, nil, claims("n2", 4)},
		{"of a peer that starts, too", map[string]v1beta1.SpeakerL2{"n2": had(4, "192.0.2.100")},
			[]members.Member{{Name: "n2", State: members.Starting}}, nil, claims("n2", 4)},
		{"of a peer that speaks for itself", map[string]v1beta1.SpeakerL2{"n2": had(4, "192.0.2.100")},
			[]members.Member{{Name: "n2", State: members.Ready}}, nil, map[string][]plan.Claim{}},
		{"of a peer that leaves", map[string]v1beta1.SpeakerL2{"n2": had(4, "192.0.2.100")},
			[]members.Member{{Name: "n2", State: members.Draining}}, nil, map[string][]plan.Claim{}},
		{"of a node without a speaker", map[string]v1beta1.SpeakerL2{"n9": had(4, "192.0.2.100")}, nil, nil, map[string][]plan.Claim{}},
		{"the group knows better", map[string]v1beta1.SpeakerL2{"n2": had(4, "192.0.2.100")}, nil, claims("n2", 5), claims("n2", 5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.reporting(tt.had)
			must(t, r.look(context.Background()))
			r.settled, r.mind.facts.Absent = true, tt.said
			r.recall(context.Background(), time.Now(), tt.roster)
			must(t, r.recalling.err)
			if diff := cmp.Diff(tt.want, r.mind.facts.Absent, equalPrefixes); diff != "" {
				t.Error(diff)
			}
			before := r.mind.facts.Absent
			must(t, r.api.Delete(context.Background(), newPod("n2", "192.0.2.2")))
			r.recall(context.Background(), time.Now(), tt.roster)
			must(t, r.recalling.err)
			if !cmp.Equal(before, r.mind.facts.Absent, equalPrefixes) {
				t.Error("recalls twice")
			}
		})
	}
}

// TestRecallIsTriedAgain: an API server that is slow for a moment is no reason to forget what others have. One that is away
// is none to wait for ever.
func TestRecallIsTriedAgain(t *testing.T) {
	tests := []struct {
		name     string
		failures int
		own      bool // the address was this node's, not n2's
		announce bool
	}{
		{"one failure", 1, false, false},
		{"all but one fail", recallTries - 1, false, false},
		{"all fail", recallTries, false, true},
		{"all fail, its own it has", recallTries, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				node, left := "n2", tt.failures
				if tt.own {
					node = "n1"
				}
				r.reporting(map[string]v1beta1.SpeakerL2{node: had(4, "192.0.2.100")})
				r.o.Direct = interceptor.NewClient(r.api, interceptor.Funcs{
					List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
						if left--; left >= 0 {
							return errors.New("too slow")
						}
						return c.List(ctx, l, opts...)
					},
				})
				must(t, r.api.Create(context.Background(), newNode("n2")))
				r.during(func() {
					r.fit()
					if announced := r.wire.asked.Load() > 0; announced != tt.own || r.ready.Load() {
						t.Errorf("announced: %t, takes part: %t, though not all is known", announced, r.ready.Load())
					}
					elapse(recallTries * retryAfter)
					if !r.ready.Load() {
						t.Error("does not take part")
					}
				})
				e, found := r.wire.desired.Entries[netip.MustParseAddr("192.0.2.100")]
				if announces := found && e.As == nil; announces != tt.announce || tt.own && e.Probe {
					t.Errorf("announced: %t, as %+v", announces, e)
				}
				if n := r.logs.count("Going on without"); n > 0 != (tt.failures == recallTries) {
					t.Errorf("%d lines:\n%s", n, r.logs.lines)
				}
			})
		})
	}
}
