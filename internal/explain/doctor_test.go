package explain

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// well is a cluster in which no rule finds anything.
func well() Cluster {
	return Cluster{
		Facts: routed(func(f *Facts) { f.Objects.L2Advertisements = []v1beta1.L2Advertisement{{ObjectMeta: named("lan")}} }), System: "belfry-system", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
		Workloads: []Workload{{Kind: "DaemonSet", Name: "kube-proxy"}}, Proxy: Proxy{Known: true, Mode: "nftables"},
		Speakers: DaemonSet{Known: true, Wanted: 2, Ready: 2}, CRDs: []CRD{{Name: "x", Found: true}},
		Clocks: []Clock{{Node: "n1", Renewed: epoch, Server: epoch, Every: 10 * time.Second}}, Plugin: "v1.0.0", Program: "v1.0.0",
	}
}

func TestWell(t *testing.T) {
	for _, c := range Examine(well()) {
		if len(c.Findings) > 0 {
			t.Errorf("%s: %v", c.Name, c.Findings)
		}
	}
	if Unwell(Examine(well())) {
		t.Error("a healthy cluster has a problem")
	}
}

// TestRules: every rule finds what it is for, and says what to do about it.
func TestRules(t *testing.T) {
	found := map[string]bool{}
	for _, c := range []struct {
		rule, text string
		edit       func(*Cluster)
	}{
		{"kinds are", "CRD x is not installed", func(c *Cluster) { c.CRDs[0].Found = false }},
		{"kinds are", "it lacks spec.new", func(c *Cluster) { c.CRDs[0].Missing = []string{"spec.new"} }},
		{"controller runs", "no controller in namespace belfry-system", func(c *Cluster) { c.Controller.Known = false }},
		{"controller runs", "none of 1 controllers", func(c *Cluster) { c.Controller.Available = 0 }},
		{"controller runs", "1 of 2 controllers", func(c *Cluster) { c.Controller.Wanted = 2 }},
		{"speakers run", "Pods cannot be created", func(c *Cluster) { c.Speakers.Message = "Pods cannot be created" }},
		{"speakers run", "node n2 has no speaker", func(c *Cluster) { c.Nodes[1].Pod.Name = "" }},
		{"speakers run", "not ready: CrashLoopBackOff", func(c *Cluster) { c.Nodes[1].Pod.Ready, c.Nodes[1].Pod.Message = false, "CrashLoopBackOff" }},
		{"speakers run", "has never told", func(c *Cluster) { c.Nodes[1].Status = nil }},
		{"speakers run", "restarted 9 times", func(c *Cluster) { c.Nodes[1].Pod.Restarts = 9 }},
		{"namespace lets", `enforces Pod Security "baseline"`, func(c *Cluster) { c.Labels["pod-security.kubernetes.io/enforce"] = "baseline" }},
		{"namespace lets", "no Pod Security label", func(c *Cluster) { c.Labels = map[string]string{} }},
		{"versions fit", "versions v0.9.0, v1.0.0", func(c *Cluster) { c.Nodes[0].Status.Status.Version = "v0.9.0" }},
		{"versions fit", "the controller is of version v0.9.0", func(c *Cluster) { c.Program = "v0.9.0" }},
		{"versions fit", "the plugin is of version v2.0.0", func(c *Cluster) { c.Plugin = "v2.0.0" }},
		{"speakers reach", "n1 does not reach those of n2", func(c *Cluster) { c.Nodes[0].Status.Status.Members.Missing = []string{"n2"} }},
		{"clocks agree", "at least 1m0s ahead", func(c *Cluster) { c.Clocks[0].Renewed = epoch.Add(time.Minute) }},
		{"clocks agree", "renewed 10m0s ago", func(c *Cluster) { c.Clocks[0].Renewed = epoch.Add(-10 * time.Minute) }},
		{"there are pools", "there is no IPAddressPool", func(c *Cluster) { c.Objects.Pools = nil }},
		{"there are pools", "no advertisement selects pool lan", func(c *Cluster) { c.Objects.L2Advertisements, c.Objects.BGPAdvertisements = nil, nil }},
		{"objects are valid", "IPAddressPool bad: BadRange", func(c *Cluster) { c.Objects.Pools = append(c.Objects.Pools, pool("bad", "x")) }},
		{"objects are valid", "IPAddressPool lan: it is left as it is", func(c *Cluster) {
			c.Objects.Pools[0].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionQuickstart, Status: metav1.ConditionTrue, Message: "it is left as it is"}}
		}},
		{"objects are valid", "L2Advertisement lan: it is left as it is", func(c *Cluster) {
			c.Objects.L2Advertisements[0].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionQuickstart, Status: metav1.ConditionTrue, Message: "it is left as it is"}}
		}},
		{"pools hold no", "pool lan holds 192.0.2.11, the InternalIP of node n1", func(c *Cluster) {
			a := netip.MustParseAddr("192.0.2.11")
			c.Used = []spec.Occupied{{Range: spec.Range{From: a, To: a}, What: "the InternalIP of node n1"}}
		}},
		{"it is known what", "pod CIDRs are not known", func(c *Cluster) {
			c.Objects.Pools[0].Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionUnchecked, Status: metav1.ConditionTrue, Message: "the pod CIDRs are not known"}}
		}},
		{"nodes may announce", "all 2 nodes are labelled", func(c *Cluster) {
			c.Rules.Exclude = spec.ExcludeHonour
			for _, n := range c.Nodes {
				n.Object.Labels[corev1.LabelNodeExcludeBalancers] = ""
			}
		}},
		{"nodes may announce", "drained: n1", func(c *Cluster) { c.Nodes[0].Object.Spec.Taints = []corev1.Taint{{Key: v1beta1.Drain}} }},
		{"interfaces are up", "every interface of node n1 is down", func(c *Cluster) { c.Nodes[0].Status.Status.Interfaces[0].Up = false }},
		{"interfaces are up", "sees no interface", func(c *Cluster) { c.Nodes[0].Status.Status.Interfaces = nil }},
		{"no other host", "host 02:00:00:00:00:99 has 192.0.2.10 too", func(c *Cluster) {
			c.Nodes[0].Status.Status.L2.Conflicts = []v1beta1.SpeakerConflict{{Address: "192.0.2.10", MAC: "02:00:00:00:00:99", Interface: "eth0"}}
		}},
		{"routers have", "node n1 has no session with peer tor: Connecting ConnectionRefused", func(c *Cluster) {
			c.Nodes[0].Status.Status.BGP.Peers[0].State, c.Nodes[0].Status.Status.BGP.Peers[0].Reason = v1beta1.SessionConnecting, "ConnectionRefused"
		}},
		{"routers have", "the speaker of node n1 has too many peers to tell of all: 9 are left out", func(c *Cluster) { c.Nodes[0].Status.Status.Omitted.BGPPeers = 9 }},
		{"no other host", "other hosts have 9 more addresses that node n1", func(c *Cluster) { c.Nodes[0].Status.Status.Omitted.L2Conflicts = 9 }},
		{"speakers reach", "those of n2; 9 more are left out", func(c *Cluster) {
			c.Nodes[0].Status.Status.Members.Missing, c.Nodes[0].Status.Status.Omitted.MembersMissing = []string{"n2"}, 9
		}},
		{"kube-proxy is healthy", "kube-proxy on node n1", func(c *Cluster) { c.Nodes[0].Status.Status.Dataplane = "unhealthy" }},
		{"kube-proxy answers no ARP", "without strictARP", func(c *Cluster) { c.Proxy.Mode = "ipvs" }},
		{"something carries", "neither kube-proxy nor", func(c *Cluster) { c.Proxy.Known, c.Workloads = false, []Workload{{Name: "x"}} }},
		{"k3s ServiceLB", "k3s ServiceLB is on", func(c *Cluster) { c.Workloads = append(c.Workloads, Workload{Kind: "DaemonSet", Name: "svclb-web-1"}) }},
		{"nobody else gives", "kube-vip runs", func(c *Cluster) {
			c.Workloads = append(c.Workloads, Workload{Kind: "DaemonSet", Name: "x", Images: []string{"ghcr.io/kube-vip/kube-vip:v1"}})
		}},
		{"nobody else writes", "other also writes", func(c *Cluster) { c.Writers = []Writer{{"default/web", "other"}} }},
	} {
		sick := well()
		c.edit(&sick)
		hit := false
		for _, check := range Examine(sick) {
			if !strings.HasPrefix(check.Name, c.rule) {
				continue
			}
			found[check.Name] = true
			for _, f := range check.Findings {
				hit = hit || strings.Contains(f.Text, c.text)
				if f.Do == "" {
					t.Errorf("%s: there is no remedy", f.Text)
				}
			}
		}
		if !hit {
			t.Errorf("%s: %q was not found", c.rule, c.text)
		}
	}
	for _, r := range rules() {
		if !found[r.name] {
			t.Errorf("no cluster here is sick with %q", r.name)
		}
	}
}
