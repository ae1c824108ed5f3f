package explain

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Facts is what there is to see of a cluster. What is not given counts as not there.
type Facts struct {
	Now          time.Time
	Objects      spec.Objects
	Services     []Service // of type LoadBalancer, whosever they are
	Reservations []v1beta1.IPReservation
	Namespaces   map[string]labels.Set
	Used         []spec.Occupied // addresses that the cluster uses itself
	Nodes        []Node
	Controller   Controller
	Rules        spec.NodeRules
	Endpoints    map[types.NamespacedName]spec.Endpoints // of all Services, where asked for
	OursIs       func(*corev1.Service) bool              // tells of any Service whether Belfry serves it
}

// Service is a Service and where its pods are.
type Service struct {
	Object    *corev1.Service
	Ours      bool // of a class that Belfry serves
	Endpoints spec.Endpoints
}

// Node is a node and what its speaker last wrote.
type Node struct {
	Object *corev1.Node
	Status *v1beta1.SpeakerStatus // nil: it never wrote any
	Pod    Pod
}

// Pod is the speaker's Pod on a node.
type Pod struct {
	Known    bool // Pods could be read
	Name     string
	Ready    bool
	Restarts int32
	Message  string // why it is not ready, as far as its status tells
}

// Controller is the controller's Deployment.
type Controller struct {
	Known     bool // it could be read, and there is one
	Available int32
	Wanted    int32
}

func (s Service) key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Object.Namespace, Name: s.Object.Name}
}

// announced tells whether speakers announce the Service.
func (s Service) announced() bool {
	return s.Ours && s.Object.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && s.Object.DeletionTimestamp == nil
}

// parse reads the Service with the labels of its namespace.
func (f Facts) parse(s Service) spec.Service {
	p := spec.ParseService(s.Object)
	p.NamespaceLabels = f.Namespaces[s.Object.Namespace]
	return p
}

// Alive tells whether the node's speaker counts as a member of the group: it has written its status, its Pod runs where
// Pods can be seen, and not most of the others miss it.
func (f Facts) Alive(n Node) bool {
	if n.Status == nil || n.Status.Status.State == "" || n.Pod.Known && !n.Pod.running() {
		return false
	}
	miss, others := 0, 0
	for _, o := range f.Nodes {
		if o.Status == nil || o.Object.Name == n.Object.Name {
			continue
		}
		others++
		if slices.Contains(o.Status.Status.Members.Missing, n.Object.Name) {
			miss++
		}
	}
	return 2*miss <= others
}

func (p Pod) running() bool { return p.Name != "" }

// What a speaker says of itself.
const (
	StateReady      = "ready" // it may acquire addresses
	StateRestarting = "restarting"
	StateDraining   = "draining" // it hands over what it has
)

// world is what a plan is made from.
func (f Facts) world(snapshot *spec.Snapshot) plan.World {
	w := plan.World{Config: snapshot}
	for _, s := range f.Services {
		if s.announced() {
			w.Services = append(w.Services, plan.Service{Service: new(f.parse(s)), Endpoints: s.Endpoints})
		}
	}
	slices.SortFunc(w.Services, func(a, b plan.Service) int { return compareKeys(a.Key, b.Key) })
	w.Nodes = f.planNodes()
	return w
}

// planNodes are sorted by name.
func (f Facts) planNodes() []plan.Node {
	nodes := make([]plan.Node, len(f.Nodes))
	for i, n := range f.Nodes {
		nodes[i] = f.planNode(n)
	}
	plan.Settle(nodes, f.Rules)
	slices.SortFunc(nodes, func(a, b plan.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// planNode is what can be seen of a node. Whether it may take addresses from others that are well is not: it may not.
func (f Facts) planNode(n Node) plan.Node {
	out := plan.Node{Node: spec.ParseNode(n.Object), Alive: f.Alive(n)}
	if n.Status == nil {
		return out
	}
	s := n.Status.Status
	out.Ready, out.Away = s.State == StateReady || s.State == StateDraining, s.State == StateRestarting
	out.Draining = out.Draining || s.State == StateDraining // by a shutdown, perhaps, of which the Node does not tell
	out.Dataplane = plan.Dataplane(s.Dataplane)
	for _, i := range s.Interfaces {
		out.Interfaces = append(out.Interfaces, planInterface(i))
	}
	out.Claims = claims(s.L2)
	for _, p := range s.BGP.Peers {
		if p.State == v1beta1.SessionEstablished {
			out.BGP.Established = append(out.BGP.Established, p.Name)
		}
	}
	slices.Sort(out.BGP.Established)
	return out
}

// claims are the addresses that the speaker holds against the others.
func claims(s v1beta1.SpeakerL2) (out []plan.Claim) {
	for _, c := range s.Claims {
		for _, text := range c.Addresses {
			r, err := spec.ParseRange(text)
			if err != nil || r.Size() > mostClaims {
				continue
			}
			for a := r.From; r.Contains(a); a = a.Next() {
				out = append(out, plan.Claim{Addr: a, Epoch: uint64(c.Epoch)}) // #nosec G115 -- a count
			}
		}
	}
	slices.SortFunc(out, func(a, b plan.Claim) int { return a.Addr.Compare(b.Addr) })
	return out
}

// mostClaims is more than a range of claims can hold: a status that says otherwise is wrong.
const mostClaims = 1 << 20

// planInterface reads an interface as its speaker shows it: IPv6 is spoken from a link-local address.
func planInterface(i v1beta1.SpeakerInterface) plan.Interface {
	out := plan.Interface{Name: i.Name, Up: i.Up}
	for _, s := range i.Subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			continue
		}
		out.Prefixes = append(out.Prefixes, p)
		out.IPv4 = out.IPv4 || p.Addr().Is4()
		out.IPv6 = out.IPv6 || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()
	}
	return out
}

// omitted counts what the node's speaker leaves out of its status.
func (n Node) omitted() v1beta1.SpeakerOmitted {
	if n.Status == nil {
		return v1beta1.SpeakerOmitted{}
	}
	return n.Status.Status.Omitted
}

// Announces lists what the node's speaker says that it answers for on the local network.
func (n Node) Announces() (out []spec.Range) {
	if n.Status == nil {
		return nil
	}
	for _, s := range n.Status.Status.L2.Addresses {
		if r, err := spec.ParseRange(s); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// Announcers returns a function that names the nodes whose speakers say that they answer for an address, in order.
func (f Facts) Announcers() func(netip.Addr) []string {
	type says struct {
		node   string
		ranges []spec.Range // disjoint, ascending
	}
	var all []says
	for _, n := range f.Nodes {
		if ranges := n.Announces(); len(ranges) > 0 && f.Alive(n) {
			all = append(all, says{n.Object.Name, spec.Merge(ranges)})
		}
	}
	slices.SortFunc(all, func(a, b says) int { return strings.Compare(a.node, b.node) })
	return func(a netip.Addr) (nodes []string) {
		for _, s := range all {
			i, found := slices.BinarySearchFunc(s.ranges, a, func(r spec.Range, a netip.Addr) int { return r.From.Compare(a) })
			if found || i > 0 && s.ranges[i-1].Contains(a) {
				nodes = append(nodes, s.node)
			}
		}
		return nodes
	}
}

func compareKeys(a, b types.NamespacedName) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Refusals tells of each node what keeps it from announcing anything new.
func (f Facts) Refusals() map[string]spec.Reason {
	out := map[string]spec.Reason{}
	for _, p := range f.planNodes() {
		out[p.Name] = p.Refusal()
	}
	return out
}
