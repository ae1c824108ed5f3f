package cli

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// serviceRow is what `services` shows of one.
type serviceRow struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"`
	Pools     []string  `json:"pools"`
	Nodes     []string  `json:"nodes"`   // whose speakers say that they announce an address of it on the local network
	Routers   bool      `json:"routers"` // the controller says that routers are told of an address of it
	State     string    `json:"state"`   // Allocated, or the reason why it has no address or nobody announces it
	Message   string    `json:"message,omitempty"`
	Policy    string    `json:"externalTrafficPolicy"`
	Created   time.Time `json:"created"`
}

func (a *app) newServices() *cobra.Command {
	c := tableCommand{
		use: "services", aliases: []string{"service", "svc"}, short: "Services of type LoadBalancer, their addresses and who announces them",
		need: needServices, namespaced: true,
	}
	c.rows = func(f explain.Facts, namespace string) any { return serviceRows(f, namespace) }
	c.show = func(f explain.Facts, namespace string) *table {
		t := &table{titles: []string{"NAMESPACE", "NAME", "ADDRESSES", "POOL", "ANNOUNCED BY", "STATE", "AGE", "POLICY", "MESSAGE"}, wide: 7}
		for _, r := range serviceRows(f, namespace) {
			t.add(plain("%s", r.Namespace), plain("%s", r.Name), plain("%s", strings.Join(r.Addresses, ",")), plain("%s", strings.Join(r.Pools, ",")),
				plain("%s", strings.Join(r.announcers(), ",")), good(r.State == allocated, r.State, r.State),
				plain("%s", duration.HumanDuration(f.Now.Sub(r.Created))), plain("%s", r.Policy), plain("%s", r.Message))
		}
		return t
	}
	return a.newTable(c)
}

// allocated is the state of a Service with which all is well.
const allocated = "Allocated"

// stateOf reads what the controller says of a Service.
func stateOf(o *corev1.Service) (state, message string) {
	has := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAllocated)
	told := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAnnounced)
	switch {
	case has == nil:
		return "Pending", ""
	case has.Status == metav1.ConditionTrue && told != nil && told.Status == metav1.ConditionFalse:
		return told.Reason, told.Message
	}
	return has.Reason, has.Message
}

// toldToRouters reads in what the controller says of a Service that BGP announces it: "BGP", or "203.0.113.10 BGP" in a list.
func toldToRouters(o *corev1.Service) bool {
	told := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAnnounced)
	return told != nil && told.Status == metav1.ConditionTrue &&
		slices.ContainsFunc(strings.Split(told.Message, ", "), func(by string) bool { return by == "BGP" || strings.HasSuffix(by, " BGP") })
}

// nodesNamed reads the same of the nodes that announce it on the local network: "by node n1", or "192.0.2.1 by node n1" in a list.
// It is for where speakers have too many addresses to name them all.
func nodesNamed(o *corev1.Service) []string {
	nodes := []string{}
	told := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAnnounced)
	if told == nil || told.Status != metav1.ConditionTrue {
		return nodes
	}
	for by := range strings.SplitSeq(told.Message, ", ") {
		if _, node, found := strings.Cut(by, "by node "); found {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// announcers are those who announce, for people.
func (r serviceRow) announcers() []string {
	if r.Routers {
		return append(slices.Clone(r.Nodes), "BGP")
	}
	return r.Nodes
}

func serviceRows(f explain.Facts, namespace string) []serviceRow {
	rows := []serviceRow{}
	where := f.Announcers()
	unnamed := slices.ContainsFunc(f.Nodes, func(n explain.Node) bool { return n.Status != nil && n.Status.Status.Omitted.L2Addresses > 0 })
	for _, s := range f.Services {
		o := s.Object
		if !s.Ours || namespace != "" && o.Namespace != namespace {
			continue
		}
		p := spec.ParseService(o)
		r := serviceRow{
			Namespace: o.Namespace, Name: o.Name, Addresses: []string{}, Pools: p.Pools, Nodes: []string{}, Created: o.CreationTimestamp.Time,
			Policy: string(cmp.Or(o.Spec.ExternalTrafficPolicy, "Cluster")),
		}
		for _, a := range p.Held {
			r.Addresses = append(r.Addresses, a.String())
			r.Nodes = append(r.Nodes, where(a)...)
		}
		slices.Sort(r.Nodes)
		if r.Nodes = slices.Compact(r.Nodes); len(r.Nodes) == 0 && unnamed {
			r.Nodes = nodesNamed(o)
		}
		r.State, r.Message = stateOf(o)
		r.Routers = toldToRouters(o)
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b serviceRow) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return rows
}
