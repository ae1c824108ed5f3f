package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// otherPlan tells what the node's speaker carries out, where the objects say something else by now; "" where they do not, and
// where the speaker does not tell.
func (v *View) otherPlan(n Node) string {
	if n.Status == nil || n.Status.Status.Plan == nil {
		return ""
	}
	runs := n.Status.Status.Plan
	asked := plan.Digest(v.Objects, v.world, spec.ParseNode(n.Object))
	if !plan.DigestsDiffer(runs.Digest, asked) {
		return ""
	}
	text := fmt.Sprintf("carries out plan %s, begun %s; the objects ask for %s", runs.Digest, stamp(runs.Since.Time), asked)
	if edits := v.editsAfter(runs.Since.Time, n); len(edits) > 0 {
		text += ": since then there was a change of " + strings.Join(edits, ", ")
	}
	return text
}

// planLink compares the plan that the node's speaker carries out with what the objects say.
func (v *View) planLink(e *Explanation, n Node) {
	switch other := v.otherPlan(n); {
	case other != "":
		e.note("plan", ReasonOtherPlan, other)
	case n.Status != nil && n.Status.Status.Plan != nil:
		e.ok("plan", "is what the objects ask for since "+stamp(n.Status.Status.Plan.Since.Time))
	}
}

// plansLink names the nodes whose speakers carry out something else than the objects say, if there are any.
func (v *View) plansLink(e *Explanation) {
	var rows []Row
	for _, n := range v.Nodes {
		if other := v.otherPlan(n); other != "" {
			rows = append(rows, Row{n.Object.Name, Note, ReasonOtherPlan, other})
		}
	}
	if len(rows) > 0 {
		e.add(Link{Name: "plan", State: Note, Reason: ReasonOtherPlan, Rows: rows,
			Text: fmt.Sprintf("%d of %d speakers do not carry out what the objects say now", len(rows), len(v.Nodes))})
	}
}

// edit is when somebody last changed what an object asks for.
type edit struct {
	at   time.Time
	what string
}

// mostEdits is how many are named, the first ones: with them it began.
const mostEdits = 3

// editsAfter names the objects that were changed after a time, in the order in which they were; what was deleted is not seen.
func (v *View) editsAfter(t time.Time, n Node) []string {
	var all []edit
	add := func(kind string, o metav1.Object) {
		if at := edited(o); at.After(t) {
			all = append(all, edit{at, fmt.Sprintf("%s %s at %s", kind, o.GetName(), stamp(at))})
		}
	}
	for i := range v.Objects.Pools {
		add("IPAddressPool", &v.Objects.Pools[i])
	}
	for i := range v.Objects.L2Advertisements {
		add("L2Advertisement", &v.Objects.L2Advertisements[i])
	}
	for i := range v.Objects.BGPAdvertisements {
		add("BGPAdvertisement", &v.Objects.BGPAdvertisements[i])
	}
	for i := range v.Objects.BGPPeers {
		add("BGPPeer", &v.Objects.BGPPeers[i])
	}
	for i := range v.Objects.Communities {
		add("Community", &v.Objects.Communities[i])
	}
	for i := range v.Objects.BFDProfiles {
		add("BFDProfile", &v.Objects.BFDProfiles[i])
	}
	add("Node", n.Object)
	slices.SortStableFunc(all, func(a, b edit) int { return a.at.Compare(b.at) })
	var out []string
	for _, e := range all[:min(len(all), mostEdits)] {
		out = append(out, e.what)
	}
	return out
}

// edited is when the object was made, or what it asks for was last written.
func edited(o metav1.Object) time.Time {
	at := o.GetCreationTimestamp().Time
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Time != nil && m.Time.After(at) {
			at = m.Time.Time
		}
	}
	return at
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
