package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

func poolsHoldNodes(d *diagnosis) (out []Finding) {
	for _, p := range d.snapshot.Pools {
		for _, u := range d.Used {
			if slices.ContainsFunc(spec.Subtract(p.Ranges, p.Exclude), u.Overlaps) {
				out = append(out, warning("Take them out of the pool, or list them in its exclude; they are never handed out meanwhile.", "pool %s holds %s, %s", p.Name, u.Range, u.What))
			}
		}
	}
	return out
}

func nodesExcluded(d *diagnosis) []Finding {
	excluded, draining := 0, []string{}
	for _, n := range d.Nodes {
		p := spec.ParseNode(n.Object)
		if p.Excluded {
			excluded++
		}
		if p.Draining {
			draining = append(draining, n.Object.Name)
		}
	}
	var out []Finding
	if len(d.Nodes) > 0 && excluded == len(d.Nodes) && d.Rules.Exclude == spec.ExcludeHonour {
		out = append(out, problem("kubectl label nodes --all "+corev1.LabelNodeExcludeBalancers+"-, or --exclude-lb-label=auto",
			"all %d nodes are labelled %s: nobody may announce. kubeadm labels control planes so, which in a small cluster are all nodes", excluded, corev1.LabelNodeExcludeBalancers))
	}
	if len(draining) > 0 {
		out = append(out, warning("When the work is done: kubectl belfry undrain NODE.", "drained: %s", atMost(draining)))
	}
	return out
}

func interfacesUp(d *diagnosis) (out []Finding) {
	for _, n := range d.Nodes {
		if n.omitted().Interfaces > 0 {
			continue // it may be one of those
		}
		if n.Status == nil || len(n.Status.Status.Interfaces) == 0 {
			if n.Status != nil && n.Status.Status.State == StateReady {
				out = append(out, problem("Look at speaker.excludeInterfaces of the chart: it may exclude too much.", "the speaker of node %s sees no interface to announce on", n.Object.Name))
			}
			continue
		}
		up := false
		for _, i := range n.Status.Status.Interfaces {
			up = up || i.Up
		}
		if !up {
			out = append(out, problem("Look at cables, switch ports and `ip link` on the node.", "every interface of node %s is down", n.Object.Name))
		}
	}
	return out
}

// conflicts: a host outside of the cluster has an address of ours.
func conflicts(d *diagnosis) (out []Finding) {
	for _, n := range d.Nodes {
		if n.Status == nil {
			continue
		}
		for _, c := range n.Status.Status.L2.Conflicts {
			out = append(out, problem(do("Conflict"), "host %s has %s too: node %s heard it on %s", strings.TrimSpace(c.MAC+" "+c.Node), c.Address, n.Object.Name, c.Interface))
		}
		if left := n.omitted().L2Conflicts; left > 0 {
			out = append(out, problem(do("Conflict"), "other hosts have %d more addresses that node %s answers for, older ones", left, n.Object.Name))
		}
	}
	return out
}

// Asked tells whether somebody has asked for a node to have no session: there is nothing wrong with that.
func Asked(r spec.Reason) bool { return r == plan.ReasonDraining || r == plan.ReasonExcluded }

// sessionsUp: every router that a node should speak to has a session with it.
func sessionsUp(d *diagnosis) (out []Finding) {
	for _, n := range d.Nodes {
		if n.Status == nil || !d.Alive(n) {
			continue
		}
		for _, p := range n.Status.Status.BGP.Peers {
			if p.State == v1beta1.SessionEstablished || Asked(spec.Reason(p.Reason)) {
				continue
			}
			out = append(out, problem(cmp.Or(do(spec.Reason(p.Reason)), "kubectl belfry explain peer/"+p.Name),
				"node %s has no session with peer %s: %s", n.Object.Name, p.Name, strings.TrimSpace(p.State+" "+p.Reason+" "+p.Message)))
		}
		if left := n.omitted().BGPPeers; left > 0 {
			out = append(out, warning("Look at belfry_bgp_session_up of the node's metrics.", "the speaker of node %s has too many peers to tell of all: %d are left out", n.Object.Name, left))
		}
	}
	return out
}

// dataplane: kube-proxy says of itself that it does not work, or has not written its rules.
func dataplane(d *diagnosis) (out []Finding) {
	for name, reason := range d.Refusals() {
		switch reason {
		case plan.ReasonDataplane:
			out = append(out, problem(do(reason), "kube-proxy on node %s says that it is not healthy: the node announces nothing new", name))
		case plan.ReasonDataplaneWaiting:
			out = append(out, warning(do(reason), "kube-proxy on node %s has not written its rules yet: the node announces nothing new", name))
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// strictARP: with ipvs kube-proxy puts the addresses of Services on a dummy interface of every node, and the kernel of
// each answers ARP for them unless it is told not to.
func strictARP(d *diagnosis) []Finding {
	if !d.Proxy.Known || d.Proxy.Mode != "ipvs" || d.Proxy.StrictARP {
		return nil
	}
	return []Finding{problem("Set ipvs.strictARP: true in ConfigMap kube-system/kube-proxy and restart its Pods.",
		"kube-proxy runs in mode ipvs without strictARP: every node answers ARP for every address")}
}

// carriers are programs that take kube-proxy's place.
func carriers() []string {
	return []string{"cilium", "kube-router", "antrea-agent", "ovnkube-node", "calico-node"}
}

func carriesPackets(d *diagnosis) []Finding {
	if d.Workloads == nil || d.Proxy.Known || d.isK3s() {
		return nil
	}
	for _, w := range d.Workloads {
		if w.Name == "kube-proxy" || slices.ContainsFunc(carriers(), func(c string) bool { return strings.HasPrefix(w.Name, c) }) {
			return nil
		}
	}
	return []Finding{warning("See that kube-proxy, or what replaces it, runs on every node and handles Services of type LoadBalancer.",
		"neither kube-proxy nor a known replacement was found among ConfigMaps and DaemonSets: Belfry does not carry packets itself")}
}

func (d *diagnosis) isK3s() bool {
	return slices.ContainsFunc(d.Nodes, func(n Node) bool {
		v := n.Object.Status.NodeInfo.KubeletVersion
		return strings.Contains(v, "+k3s") || strings.Contains(v, "+rke2")
	})
}

// serviceLB of k3s makes a DaemonSet svclb-… for each Service and writes node addresses into its status.
func serviceLB(d *diagnosis) []Finding {
	n := 0
	for _, w := range d.Workloads {
		if w.Kind == "DaemonSet" && strings.HasPrefix(w.Name, "svclb-") {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []Finding{problem("Start the k3s servers with --disable=servicelb, or give the Services spec.loadBalancerClass: belfry.dev/belfry.",
		"k3s ServiceLB is on (%d DaemonSets svclb-…): it writes its own addresses into the status of Services", n)}
}

// rival is another controller that gives addresses to Services.
type rival struct{ image, name, do string }

func rivals() []rival {
	return []rival{
		{"metallb/controller", "MetalLB", "Give one of the two a class of its own (MetalLB: --lb-class; Belfry: handleUnclassed: false), or remove MetalLB when the migration is done."},
		{"kube-vip/kube-vip", "kube-vip", "Turn its Service mode off (svc_enable=false), or give it a class of its own (lb_class_only)."},
		{"kube-vip-cloud-provider", "kube-vip's cloud provider", "Remove it, or give it a class of its own (LoadbalancerClass)."},
		{"openelb", "OpenELB", "Remove it, or set handleUnclassed: false."},
		{"purelb/allocator", "PureLB", "Remove it, or set handleUnclassed: false."},
		{"klipper-lb", "k3s ServiceLB", "Start the k3s servers with --disable=servicelb."},
		{"cloud-controller-manager", "a cloud controller", "Turn its service controller off (--controllers=*,-service-lb-controller), or give Services Belfry's class."},
	}
}

func otherControllers(d *diagnosis) (out []Finding) {
	for _, w := range d.Workloads {
		if strings.HasPrefix(w.Name, "svclb-") {
			continue // told apart
		}
		for _, r := range rivals() {
			if slices.ContainsFunc(w.Images, func(image string) bool { return strings.Contains(image, r.image) }) {
				out = append(out, warning(r.do, "%s runs (%s %s/%s): where both serve the same Services, they overwrite each other", r.name, w.Kind, w.Namespace, w.Name))
			}
		}
	}
	return out
}

func otherWriters(d *diagnosis) []Finding {
	by := map[string][]string{}
	var managers []string
	for _, w := range d.Writers {
		if by[w.Manager] == nil {
			managers = append(managers, w.Manager)
		}
		by[w.Manager] = append(by[w.Manager], w.Service)
	}
	slices.Sort(managers)
	var out []Finding
	for _, m := range managers {
		out = append(out, problem("Find out what "+m+" is and keep it from these Services: spec.loadBalancerClass says whose they are.",
			"%s also writes addresses into the status of %s", m, atMost(by[m])))
	}
	return out
}

// String names a finding in tests and logs.
func (f Finding) String() string { return fmt.Sprintf("%s: %s", f.Severity, f.Text) }
