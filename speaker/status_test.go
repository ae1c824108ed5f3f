package speaker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/members"
)

func TestStatusInterfaces(t *testing.T) {
	got := statusInterfaces([]l2.Interface{eth0(), {Name: "eth1"}})
	want := []v1beta1.SpeakerInterface{
		{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Subnets: []string{"192.0.2.0/24", "2001:db8::/64", "fe80::/64"}},
		{Name: "eth1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRestartIsNoNewsToOthers: they write nothing for a speaker that its addresses wait for.
func TestRestartIsNoNewsToOthers(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.2:7947")
	for _, tt := range []struct {
		name   string
		peers  []string
		roster []string
		nodes  []plan.Node
		want   v1beta1.SpeakerMembers
	}{
		{"all there", []string{"n2"}, []string{"n1", "n2"}, nil, v1beta1.SpeakerMembers{Alive: 2}},
		{"restarts, and is there", []string{"n2"}, []string{"n1", "n2"}, []plan.Node{{Node: spec.Node{Name: "n2"}, Away: true}}, v1beta1.SpeakerMembers{Alive: 2}},
		{"restarts, and is not", []string{"n2"}, []string{"n1"}, []plan.Node{{Node: spec.Node{Name: "n2"}, Away: true}}, v1beta1.SpeakerMembers{Alive: 2}},
		{"restarts, and its Pod is gone", nil, []string{"n1"}, []plan.Node{{Node: spec.Node{Name: "n2"}, Away: true}}, v1beta1.SpeakerMembers{Alive: 2}},
		{"dead", []string{"n2"}, []string{"n1"}, []plan.Node{{Node: spec.Node{Name: "n2"}}}, v1beta1.SpeakerMembers{Alive: 1, Missing: []string{"n2"}}},
	} {
		peers, roster := map[string]netip.AddrPort{}, []members.Member{}
		for _, p := range tt.peers {
			peers[p] = peer
		}
		for _, m := range tt.roster {
			roster = append(roster, members.Member{Name: m})
		}
		if diff := cmp.Diff(tt.want, statusMembers(peers, roster, tt.nodes)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func runningOn(list ...string) l2.Running {
	r := l2.Running{Addresses: map[netip.Addr][]string{}}
	for _, a := range list {
		r.Addresses[netip.MustParseAddr(a)] = []string{"eth0"}
	}
	return r
}

// desk is a reporter with an API server that counts, and that refuses what it is told to.
type desk struct {
	*reporter
	t      *testing.T
	logs   logbook
	api    client.WithWatch
	reads  atomic.Int64
	writes atomic.Int64
	counts atomic.Int64 // of writes, as metrics have them
	refuse []error      // for the next writes, in turn
	behind bool         // the cache shows nothing yet
}

func newDesk(t *testing.T, objects ...client.Object) *desk {
	d := &desk{t: t}
	d.api = fakeAPI(t, objects...).Build()
	write := func() error {
		if len(d.refuse) > 0 {
			err := d.refuse[0]
			d.refuse = d.refuse[1:]
			return err
		}
		d.writes.Add(1)
		return nil
	}
	direct := interceptor.NewClient(d.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			d.reads.Add(1)
			return c.Get(ctx, key, o, opts...)
		},
	})
	cached := interceptor.NewClient(d.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, ok := o.(*v1beta1.SpeakerStatus); ok && d.behind {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "speakerstatuses"}, key.Name)
			}
			return c.Get(ctx, key, o, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if err := write(); err != nil {
				return err
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	d.reporter = newReporter("n1", cached, direct, d.logs.logger(), func(error) { d.counts.Add(1) })
	return d
}

func (d *desk) shown() v1beta1.SpeakerStatus {
	d.t.Helper()
	var o v1beta1.SpeakerStatus
	must(d.t, client.IgnoreNotFound(d.api.Get(context.Background(), client.ObjectKey{Name: "n1"}, &o)))
	return o
}

// during runs the reporter while f acts, in a bubble whose clock f moves.
func (d *desk) during(f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { d.run(ctx); close(done) }()
	synctest.Wait()
	f()
	cancel()
	<-done
}

func state(s string) v1beta1.SpeakerStatusStatus { return v1beta1.SpeakerStatusStatus{State: s} }

func TestReporterCreates(t *testing.T) {
	d := newDesk(t, newNode("n1"))
	d.report(state("ready"))
	wrote, err := d.bring(context.Background())
	must(t, err)
	o := d.shown()
	want := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "uid of the node"}}
	if diff := cmp.Diff(want, o.OwnerReferences); diff != "" || !wrote || o.Status.State != "ready" {
		t.Error(wrote, o.Status, diff)
	}
}

// TestReporterSaysReady: the condition follows the state, and keeps its time while that stays.
func TestReporterSaysReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newNode("n1"))
		d.during(func() {
			began := time.Now()
			for _, tt := range []struct {
				state   members.State
				version string
				status  metav1.ConditionStatus
				reason  string
				since   time.Duration
			}{
				{members.Starting, "1", metav1.ConditionFalse, "Starting", 0},
				{members.Ready, "1", metav1.ConditionTrue, "Ready", time.Minute},
				{members.Ready, "2", metav1.ConditionTrue, "Ready", time.Minute},
				{members.Draining, "2", metav1.ConditionFalse, "Draining", 3 * time.Minute},
				{members.Restarting, "2", metav1.ConditionFalse, "Restarting", 3 * time.Minute},
			} {
				s := state(tt.state.String())
				s.Version = tt.version
				d.report(s)
				elapse(time.Minute)
				o := d.shown()
				c := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionReady)
				if c == nil || c.Status != tt.status || c.Reason != tt.reason || c.Message == "" || o.Status.Version != tt.version {
					t.Fatalf("%s: %+v", tt.state, c)
				}
				if got := c.LastTransitionTime.Sub(began); got.Round(time.Second) != tt.since {
					t.Errorf("%s: since %v, want %v", tt.state, got, tt.since)
				}
			}
		})
		if n := d.writes.Load(); n != 5 {
			t.Errorf("%d writes, want 5", n)
		}
	})
}

func TestReporterIsSilentWhenNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newNode("n1"))
		d.during(func() {
			for range 10 {
				d.report(state("ready"))
				elapse(time.Minute)
			}
		})
		if d.writes.Load() != 1 || d.reads.Load() != 1 {
			t.Errorf("%d writes and %d reads, want 1 and 1", d.writes.Load(), d.reads.Load())
		}
		if d.counts.Load() != 2 { // the object, then its status
			t.Errorf("%d writes were counted, want 2", d.counts.Load())
		}
	})
}

func TestReporterAsksBeforeItWrites(t *testing.T) {
	d := newDesk(t, newNode("n1"))
	d.behind = true
	d.report(state("ready"))
	for i, want := range []bool{true, false, false} {
		if wrote, err := d.bring(context.Background()); wrote != want || err != nil {
			t.Errorf("time %d: wrote is %t, error %v", i, wrote, err)
		}
	}
	if n := d.writes.Load(); n != 1 {
		t.Errorf("%d writes because the cache is behind, want 1", n)
	}
}

func TestReporterPausesAndWritesTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newNode("n1"))
		d.during(func() {
			for _, s := range []string{"1", "2", "3", "4"} {
				d.report(state(s))
				synctest.Wait()
			}
			elapse(writePause - time.Millisecond)
			if d.writes.Load() != 1 {
				t.Errorf("%d writes within the pause, want 1", d.writes.Load())
			}
			elapse(writePause)
		})
		if got := d.shown().Status.State; got != "4" || d.writes.Load() != 2 {
			t.Errorf("state %s after %d writes, want 4 after 2", got, d.writes.Load())
		}
	})
}

// TestReporterKeepsThePaceOfItsCluster: however much there is to write, the more speakers there are the less often each
// writes, and not in step with the others.
func TestReporterKeepsThePaceOfItsCluster(t *testing.T) {
	for _, tt := range []struct {
		speakers int32
		pause    time.Duration
	}{{1, writePause}, {speakersAtOnce, writePause}, {100, 2 * writePause}, {1000, 20 * writePause}} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, newNode("n1"))
			var all, writes []time.Time
			d.wrote = func(error) { all = append(all, time.Now()) }
			d.during(func() {
				for i := range 200 { // something new, ten times within each pause
					s := state(strconv.Itoa(i))
					s.Members.Alive = tt.speakers
					d.report(s)
					elapse(tt.pause / 10)
				}
				writes = slices.Clone(all[1:]) // the first makes the object
			})
			pauses := map[time.Duration]bool{}
			for i, at := range writes[1:] {
				pause := at.Sub(writes[i])
				pauses[pause] = true
				if pause < tt.pause || pause > tt.pause+tt.pause/2 {
					t.Errorf("%d speakers: %v between two writes, want %v and up to half of that more", tt.speakers, pause, tt.pause)
				}
			}
			if len(pauses) < 3 {
				t.Errorf("%d speakers: %d writes at pauses %v, which do not vary", tt.speakers, len(writes), pauses)
			}
		})
	}
}

func TestReporterBringsBackWhatOthersTookAway(t *testing.T) {
	tests := []struct {
		name string
		harm func(*desk) error
	}{
		{"deleted", func(d *desk) error {
			return d.api.Delete(context.Background(), &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
		}},
		{"edited", func(d *desk) error {
			o := d.shown()
			o.Status.State = "nonsense"
			return d.api.Status().Update(context.Background(), &o)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, newNode("n1"))
				d.during(func() {
					d.report(state("ready"))
					elapse(2 * writePause)
					must(t, tt.harm(d))
					d.look.raise() // as the watch does
					synctest.Wait()
				})
				if got := d.shown().Status.State; got != "ready" {
					t.Errorf("state is %q", got)
				}
			})
		})
	}
}

func TestReporterWaitsForItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.during(func() {
			d.report(state("ready"))
			elapse(10 * time.Minute)
			if n := d.logs.count("Could not write SpeakerStatus", errNoNode.Error(), `"level"=0`); n != 1 {
				t.Errorf("%d lines, want 1:\n%s", n, d.logs.lines)
			}
			if d.reads.Load() > 30 {
				t.Errorf("%d reads in 10 minutes", d.reads.Load())
			}
			must(t, d.api.Create(context.Background(), newNode("n1")))
			elapse(2 * longestRetry)
		})
		if got := d.shown().Status.State; got != "ready" {
			t.Errorf("state is %q", got)
		}
	})
}

func TestReporterTriesAgain(t *testing.T) {
	gone := errors.New("connection refused")
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "speakerstatuses"}, "n1", errors.New("changed"))
	tests := []struct {
		name   string
		refuse []error
		lines  int // at level Info
	}{
		{"after a conflict", []error{conflict}, 0},
		{"after the API server was away", slices.Repeat([]error{gone}, 8), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, newNode("n1"))
				d.refuse = tt.refuse
				d.during(func() {
					d.report(state("ready"))
					elapse(10 * longestRetry)
				})
				if got := d.shown().Status.State; got != "ready" || d.writes.Load() != 1 {
					t.Errorf("state is %q after %d writes", got, d.writes.Load())
				}
				if n := d.logs.count("Could not write", `"level"=0`); n != tt.lines {
					t.Errorf("%d lines, want %d:\n%s", n, tt.lines, d.logs.lines)
				}
			})
		})
	}
}
