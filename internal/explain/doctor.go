package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

func problem(do, format string, args ...any) Finding {
	return Finding{Problem, fmt.Sprintf(format, args...), do}
}

func warning(do, format string, args ...any) Finding {
	return Finding{Warning, fmt.Sprintf(format, args...), do}
}

func crds(d *diagnosis) (out []Finding) {
	for _, c := range d.CRDs {
		switch {
		case !c.Found:
			out = append(out, problem("Install the CRDs: helm upgrade, or kubectl apply -k config/crd.", "CRD %s is not installed", c.Name))
		case len(c.Missing) > 0:
			out = append(out, warning("Upgrade the CRDs: kubectl apply -k config/crd of the program's version; helm does it with `helm upgrade`.",
				"CRD %s is older than the plugin: it lacks %s", c.Name, atMost(c.Missing)))
		}
	}
	return out
}

func controllerRuns(d *diagnosis) []Finding {
	switch c := d.Controller; {
	case !c.Known:
		return []Finding{problem("Install Belfry, or name its namespace: --belfry-namespace.", "there is no controller in namespace %s", d.System)}
	case c.Available == 0:
		return []Finding{problem("kubectl -n "+d.System+" describe pods -l app.kubernetes.io/component=controller", "none of %d controllers is available: nobody assigns addresses", c.Wanted)}
	case c.Available < c.Wanted:
		return []Finding{warning("kubectl -n "+d.System+" get pods -l app.kubernetes.io/component=controller", "%d of %d controllers are available", c.Available, c.Wanted)}
	}
	return nil
}

func speakersRun(d *diagnosis) (out []Finding) {
	if s := d.Speakers; s.Known && s.Message != "" {
		out = append(out, problem("kubectl -n "+d.System+" describe daemonset -l app.kubernetes.io/component=speaker", "%d of %d speakers are ready: %s", s.Ready, s.Wanted, s.Message))
	}
	for _, n := range d.Nodes {
		name := n.Object.Name
		switch {
		case n.Pod.Known && !n.Pod.running():
			out = append(out, problem("Let the speaker's DaemonSet run there: look at speaker.tolerations and nodeSelector of the chart.", "node %s has no speaker", name))
		case n.Pod.Known && !n.Pod.Ready:
			out = append(out, problem("kubectl -n "+d.System+" logs "+n.Pod.Name, "the speaker of node %s is not ready%s", name, because(n.Pod.Message)))
		case n.Status == nil:
			out = append(out, problem("Read the speaker's log: it writes its SpeakerStatus when it has joined the others.", "the speaker of node %s has never told how it is", name))
		case n.Pod.Restarts > 5:
			out = append(out, warning("kubectl -n "+d.System+" logs --previous "+n.Pod.Name, "the speaker of node %s has been restarted %d times", name, n.Pod.Restarts))
		}
	}
	return out
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// podSecurity: the speaker uses the host's network, which baseline and restricted forbid.
func podSecurity(d *diagnosis) []Finding {
	do := "kubectl label namespace " + d.System + " pod-security.kubernetes.io/enforce=privileged --overwrite"
	level := d.Labels["pod-security.kubernetes.io/enforce"]
	switch {
	case d.Labels == nil || level == "privileged":
		return nil
	case level != "":
		return []Finding{problem(do, "namespace %s enforces Pod Security %q: speakers, which use the host's network, cannot start", d.System, level)}
	}
	return []Finding{warning(do, "namespace %s has no Pod Security label: where the cluster's default is not privileged, speakers cannot start", d.System)}
}

func versions(d *diagnosis) (out []Finding) {
	var speakers []string
	for _, n := range d.Nodes {
		if n.Status != nil && n.Status.Status.Version != "" && !slices.Contains(speakers, n.Status.Status.Version) {
			speakers = append(speakers, n.Status.Status.Version)
		}
	}
	slices.Sort(speakers)
	if len(speakers) > 1 {
		out = append(out, warning("Wait for the update to end; if it lasts: kubectl -n "+d.System+" rollout status daemonset.", "speakers run versions %s", strings.Join(speakers, ", ")))
	}
	if len(speakers) == 1 && d.Program != "" && d.Program != speakers[0] && !strings.Contains(d.Program, "@") && isVersion(d.Program) {
		out = append(out, warning("Upgrade both with one `helm upgrade`.", "the controller is of version %s, the speakers of %s", d.Program, speakers[0]))
	}
	if len(speakers) > 0 && isVersion(d.Plugin) && !slices.Contains(speakers, d.Plugin) {
		out = append(out, warning("Use the plugin of the version that runs.", "the plugin is of version %s, the speakers of %s: it may judge by other rules", d.Plugin, strings.Join(speakers, ", ")))
	}
	return out
}

// isVersion tells a release from a build of one's own.
func isVersion(s string) bool {
	return len(s) > 1 && s[0] == 'v' && s[1] >= '0' && s[1] <= '9'
}

// members: a speaker that another one misses though its Pod is ready cannot be reached.
func members(d *diagnosis) (out []Finding) {
	ready := map[string]bool{}
	for _, n := range d.Nodes {
		ready[n.Object.Name] = !n.Pod.Known || n.Pod.Ready
	}
	for _, n := range d.Nodes {
		if n.Status == nil || !ready[n.Object.Name] {
			continue
		}
		var missing []string
		for _, m := range n.Status.Status.Members.Missing {
			if ready[m] {
				missing = append(missing, m)
			}
		}
		if len(missing) > 0 || n.omitted().MembersMissing > 0 {
			out = append(out, problem("Open the members' port (7947 TCP and UDP) between these nodes, for the nodes' own addresses.",
				"the speaker of node %s does not reach those of %s: both sides may announce the same address", n.Object.Name, andMore(atMost(missing), n.omitted().MembersMissing)))
		}
	}
	return out
}

// skew is how far a node's clock may be off before Leases are in danger.
const skew = 5 * time.Second

// clocks: a Lease renewed in the future says that the node's clock is ahead; one that is long past, though the node is
// Ready, that it is behind.
func clocks(d *diagnosis) (out []Finding) {
	do := "Let the node keep its time (chrony, systemd-timesyncd): Leases are judged by the clocks of those who hold them."
	ready := map[string]bool{}
	for _, n := range d.Nodes {
		ready[n.Object.Name] = spec.ParseNode(n.Object).Ready
	}
	for _, c := range d.Clocks {
		switch off := c.Renewed.Sub(c.Server); {
		case off > skew:
			out = append(out, problem(do, "the clock of node %s is at least %s ahead of the API server's", c.Node, off.Round(time.Second)))
		case ready[c.Node] && -off > 4*c.Every+skew:
			out = append(out, warning(do, "node %s is Ready, but its Lease was renewed %s ago by its own clock: it may be behind", c.Node, (-off).Round(time.Second)))
		}
	}
	return out
}

func configured(d *diagnosis) (out []Finding) {
	if len(d.Objects.Pools) == 0 {
		out = append(out, problem("Create one: docs/addresses.md shows how.", "there is no IPAddressPool: no Service gets an address"))
	}
	for _, p := range d.snapshot.Pools {
		if (&View{Snapshot: d.snapshot}).advertised(p.Name) == nil {
			out = append(out, problem("Create an L2Advertisement or a BGPAdvertisement that names the pool.", "no advertisement selects pool %s: nobody answers for its addresses", p.Name))
		}
	}
	return out
}

// clusterKnown: what the controller could not learn it cannot keep from being handed out.
func clusterKnown(d *diagnosis) []Finding {
	for i := range d.Objects.Pools {
		if c := meta.FindStatusCondition(d.Objects.Pools[i].Status.Conditions, v1beta1.ConditionUnchecked); c != nil {
			return []Finding{warning("Set controller.serviceCIDRs or controller.podCIDRs in the chart's values.", "%s", c.Message)} // all pools say the same
		}
	}
	return nil
}

func objectsValid(d *diagnosis) (out []Finding) {
	for _, p := range d.problems {
		out = append(out, problem(strings.ReplaceAll(do(p.Reason), "NAME", p.Name), "%s %s: %s: %s", p.Kind, p.Name, p.Reason, p.Message))
	}
	for _, o := range d.Objects.Pools {
		out = append(out, notApplied("IPAddressPool", o.Name, o.Status.Conditions)...)
	}
	for _, o := range d.Objects.L2Advertisements {
		out = append(out, notApplied("L2Advertisement", o.Name, o.Status.Conditions)...)
	}
	return out
}

// notApplied: somebody's object stands where the controller is to keep one of its own.
func notApplied(kind, name string, conditions []metav1.Condition) []Finding {
	c := meta.FindStatusCondition(conditions, v1beta1.ConditionQuickstart)
	if c == nil {
		return nil
	}
	return []Finding{warning("Rename the object, label it "+v1beta1.LabelQuickstart+"=true to have it overwritten, or take quickstart.addresses out of the chart's values.", "%s %s: %s", kind, name, c.Message)}
}
