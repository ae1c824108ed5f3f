package explain

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// running lets each speaker carry out what the objects say now, since the epoch.
func running(f Facts) Facts {
	v := Look(f)
	for _, n := range f.Nodes {
		n.Status.Status.Plan = &v1beta1.SpeakerPlan{Digest: plan.Digest(f.Objects, v.world, spec.ParseNode(n.Object)), Since: metav1.NewTime(epoch)}
	}
	return f
}

func TestOtherPlan(t *testing.T) {
	later := metav1.NewTime(epoch.Add(time.Minute))
	for _, tc := range []struct {
		name string
		edit func(*Facts)
		want string // in what is said of both nodes; "" for nothing
	}{
		{"nothing", func(*Facts) {}, ""},
		{"a pool is edited", func(f *Facts) {
			f.Objects.Pools[0].Generation++
			f.Objects.Pools[0].ManagedFields = []metav1.ManagedFieldsEntry{{Time: &later}, {Time: new(metav1.NewTime(epoch.Add(time.Hour))), Subresource: "status"}}
		}, "since then there was a change of IPAddressPool lan at 2026-01-01T00:01:00Z"},
		{"a peer is new", func(f *Facts) {
			p := v1beta1.BGPPeer{ObjectMeta: named("tor2")}
			p.CreationTimestamp = later
			f.Objects.BGPPeers = append(f.Objects.BGPPeers, p)
		}, "BGPPeer tor2 at 2026-01-01T00:01:00Z"},
		{"an advertisement is deleted", func(f *Facts) { f.Objects.BGPAdvertisements = nil }, "begun 2026-01-01T00:00:00Z; the objects ask for 1-"},
		{"a Service has gone", func(f *Facts) { f.Services = nil }, "begun 2026-01-01T00:00:00Z"},
		{"a speaker of another version", func(f *Facts) {
			for _, n := range f.Nodes {
				n.Status.Status.Plan.Digest = "0-1"
			}
		}, ""},
		{"speakers that do not tell", func(f *Facts) {
			for _, n := range f.Nodes {
				n.Status.Status.Plan = nil
			}
		}, ""},
	} {
		f := running(routed())
		tc.edit(&f)
		v := Look(f)
		for _, n := range v.Nodes {
			got := v.otherPlan(n)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%s: of %s it is said %q, want %q", tc.name, n.Object.Name, got, tc.want)
			}
			said := strings.Contains(transcript(v.Node(n.Object.Name)), "note plan OtherPlan")
			if said != (tc.want != "") {
				t.Errorf("%s: node %s\n%s", tc.name, n.Object.Name, transcript(v.Node(n.Object.Name)))
			}
		}
	}
}

// TestOtherPlanOfAService: who asks about a Service hears of it, too.
func TestOtherPlanOfAService(t *testing.T) {
	f := running(healthy())
	if e := Look(f).Service(key("web")); strings.Contains(transcript(e), "plan") {
		t.Error(transcript(e))
	}
	f.Objects.Pools[0].Generation++
	f.Nodes[1].Status.Status.Plan.Digest = plan.Digest(f.Objects, Look(f).world, spec.ParseNode(f.Nodes[1].Object))
	e := Look(f).Service(key("web"))
	last := e.Links[len(e.Links)-1]
	if !e.Healthy() || last.Reason != ReasonOtherPlan || last.Text != "1 of 2 speakers do not carry out what the objects say now" || last.Rows[0].Name != "n1" {
		t.Errorf("%+v\n%s", last, transcript(e))
	}
}
