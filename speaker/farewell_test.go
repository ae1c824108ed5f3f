package speaker

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/members"
)

// lastWords writes down what the group is told at the end.
type lastWords []string

func (w *lastWords) SetState(s members.State) { *w = append(*w, s.String()) }

func (w *lastWords) SetStopMode(m members.StopMode) {
	*w = append(*w, map[members.StopMode]string{members.StopLeave: "leave", members.StopVanish: "vanish"}[m])
}

func shutDown(n *corev1.Node) {
	n.Status.Conditions[0].Status, n.Status.Conditions[0].Message = corev1.ConditionFalse, "node is shutting down"
}

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: v1beta1.Drain, Effect: corev1.TaintEffectNoSchedule}}
}

// TestPart: restart, drain and shutdown are told apart, whatever the API server does.
func TestPart(t *testing.T) {
	node := func(change ...func(*corev1.Node)) *corev1.Node {
		n := newNode("n1")
		for _, c := range change {
			c(n)
		}
		return n
	}
	vanish, restart := lastWords{"vanish"}, lastWords{"restarting", "vanish"}
	const most = handoverMost + silence
	tests := []struct {
		name      string
		starting  bool
		onRestart OnRestart
		cached    *corev1.Node  // nil: there is none
		direct    *corev1.Node  // the API server's; nil: the same
		away      bool          // it does not answer at all
		empties   time.Duration // until nothing is left to hand over; 0: never
		want      lastWords
		takes     time.Duration
	}{
		{name: "restart", cached: node(), want: restart},
		{name: "still starting", starting: true, cached: node(tainted), want: vanish},
		{name: "there is no Node", want: restart},
		{name: "handover on restart", onRestart: Handover, cached: node(), empties: time.Second, takes: time.Second + silence},
		{name: "handover on restart, nobody takes over", onRestart: Handover, cached: node(), takes: most},
		{name: "drained", cached: node(tainted), empties: time.Second, takes: time.Second + silence},
		{name: "drained, nobody takes over", cached: node(tainted), takes: most},
		{name: "the machine goes down", cached: node(shutDown), empties: time.Second, takes: time.Second + silence},
		{name: "not Ready is no shutdown", cached: node(func(n *corev1.Node) {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].Message = corev1.ConditionFalse, "container runtime is down"
		}), want: restart},
		{name: "drained in the same moment", cached: node(), direct: node(tainted), empties: time.Second, takes: time.Second + silence},
		{name: "the machine goes down in the same moment", cached: node(), direct: node(shutDown), takes: most},
		{name: "the drain was ended in the same moment", cached: node(tainted), direct: node(), want: restart},
		{name: "restart, API server away", cached: node(), away: true, want: restart, takes: lastLook},
		{name: "drained, API server away", cached: node(tainted), away: true, empties: time.Second, takes: lastLook + time.Second + silence},
		{name: "shutdown, API server away", cached: node(shutDown), away: true, takes: lastLook + most},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logs := &logbook{}
				s := &Speaker{o: Options{Node: "n1", OnRestart: tt.onRestart, Log: logs.logger()}}
				s.ready.Store(!tt.starting)
				s.o.Client = fakeAPI(t, nodes(tt.cached)...).Build()
				direct := fakeAPI(t, nodes(tt.cached)...).Build()
				if tt.direct != nil {
					direct = fakeAPI(t, tt.direct).Build()
				}
				s.o.Direct = interceptor.NewClient(direct, interceptor.Funcs{
					Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
						if tt.away {
							<-ctx.Done()
							return ctx.Err()
						}
						return c.Get(ctx, key, o, opts...)
					},
				})
				f, words := newFarewell(), lastWords(nil)
				ctx, stop := context.WithCancel(context.Background())
				live, end := context.WithCancel(context.Background())
				defer end()
				go func() { // the passes
					select {
					case <-f.asked:
					case <-live.Done():
						return
					}
					if !sleep(live, tt.empties) || tt.empties == 0 {
						return
					}
					f.see(plan.Plan{})
				}()
				stop()
				began := time.Now()
				s.part(ctx, live, f, &words)
				if diff := cmp.Diff(tt.want, words); diff != "" {
					t.Error(diff)
				}
				if took := time.Since(began); took != tt.takes {
					t.Errorf("it took %s, want %s", took, tt.takes)
				}
				if handsOver := tt.want == nil; f.drains() != handsOver || logs.count("Handing addresses over") > 0 != handsOver {
					t.Errorf("hands over: %t, want %t; logs: %s", f.drains(), handsOver, logs.lines)
				}
			})
		})
	}
}

func nodes(n *corev1.Node) []client.Object {
	if n == nil {
		return nil
	}
	return []client.Object{n}
}

// TestPartOfAFailure: when a part fails nothing is said, and nobody waits.
func TestPartOfAFailure(t *testing.T) {
	s := &Speaker{o: Options{Node: "n1"}}
	s.ready.Store(true)
	live, end := context.WithCancelCause(context.Background())
	end(errors.New("broken"))
	var words lastWords
	s.part(context.Background(), live, newFarewell(), &words)
	if len(words) > 0 {
		t.Errorf("says %v", words)
	}
}

// TestFarewellSeesWhatIsLeft: what is claimed, and what was ceded to one who has not taken it yet, is not handed over.
func TestFarewellSeesWhatIsLeft(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	left := func(f *farewell) bool {
		select {
		case <-f.empty:
			return false
		default:
			return true
		}
	}
	f := newFarewell()
	if f.see(plan.Plan{}); !left(f) {
		t.Error("a speaker that does not drain has handed all over")
	}
	f.draining.Store(true)
	for name, p := range map[string]plan.Plan{
		"a claim":   {Facts: plan.Facts{Claims: []plan.Claim{{Addr: a}}}},
		"a cession": {Facts: plan.Facts{Ceded: []plan.Cession{{Addr: a}}}},
	} {
		if f.see(p); !left(f) {
			t.Errorf("%s is left, and all is said to be handed over", name)
		}
	}
	f.see(plan.Plan{})
	f.see(plan.Plan{}) // the passes go on
	if left(f) {
		t.Error("nothing is left, and it waits")
	}
}

// TestGracePeriod: the kubelet of a node with the chart's values waits twice as long as the longest goodbye takes.
func TestGracePeriod(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "charts", "belfry", "values.yaml"))
	must(t, err)
	var values struct {
		Speaker struct {
			TerminationGracePeriodSeconds int
			BGP                           struct{ DrainTime string }
		}
	}
	must(t, yaml.Unmarshal(b, &values))
	drain, err := time.ParseDuration(values.Speaker.BGP.DrainTime)
	must(t, err)
	longest := lastLook + handoverMost + silence + drain
	if got := time.Duration(values.Speaker.TerminationGracePeriodSeconds) * time.Second; got < 2*longest {
		t.Errorf("the kubelet waits %v, a goodbye takes up to %v", got, longest)
	}
}
