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

// StateReady is what a speaker says of itself when it may acquire addresses.
const StateReady = "ready"

// world is what a plan is made from.
func (f Facts) world(snapshot *spec.Snapshot) plan.World {
	w := plan.World{Config: snapshot}
	for _, s := range f.Services {
		if s.announced() {
			w.Services = append(w.Services, plan.Service{Service: f.parse(s), Endpoints: s.Endpoints})
		}
	}
	slices.SortFunc(w.Services, func(a, b plan.Service) int { return compareKeys(a.Key, b.Key) })
	for _, n := range f.Nodes {
		w.Nodes = append(w.Nodes, f.planNode(n))
	}
	slices.SortFunc(w.Nodes, func(a, b plan.Node) int { return strings.Compare(a.Name, b.Name) })
	return w
}

func (f Facts) planNode(n Node) plan.Node {
	out := plan.Node{Node: spec.ParseNode(n.Object), Alive: f.Alive(n)}
	if n.Status == nil {
		return out
	}
	out.Ready = n.Status.Status.State == StateReady
	for _, i := range n.Status.Status.Interfaces {
		out.Interfaces = append(out.Interfaces, planInterface(i))
	}
	return out
}

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

func (n Node) answersFor(a netip.Addr) bool {
	return slices.ContainsFunc(n.Announces(), func(r spec.Range) bool { return r.Contains(a) })
}

func compareKeys(a, b types.NamespacedName) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Refusal tells what keeps the node from announcing anything, "" for nothing.
func (f Facts) Refusal(n Node) spec.Reason { return f.planNode(n).Refusal() }
