package explain

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Ref names an object: its kind and name, and its namespace where the kind has one.
type Ref struct {
	Kind string
	types.NamespacedName
}

func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.NamespacedName.String()
}

// Apply returns the facts as they would be with the object in place of the one of its name, or beside the others. What
// only the cluster writes (status, UID, age) stays as it is; labels and annotations are added. An error: the kind decides
// nothing here.
func (f Facts) Apply(o any) (Facts, error) {
	switch o := o.(type) {
	case *v1beta1.IPAddressPool:
		f.Objects.Pools = put(f, f.Objects.Pools, *o, func(p *v1beta1.IPAddressPool) *metav1.ObjectMeta { return &p.ObjectMeta },
			func(p *v1beta1.IPAddressPool, old v1beta1.IPAddressPool) { p.Status = old.Status })
	case *v1beta1.L2Advertisement:
		f.Objects.L2Advertisements = put(f, f.Objects.L2Advertisements, *o, func(p *v1beta1.L2Advertisement) *metav1.ObjectMeta { return &p.ObjectMeta },
			func(p *v1beta1.L2Advertisement, old v1beta1.L2Advertisement) { p.Status = old.Status })
	case *v1beta1.BGPAdvertisement:
		f.Objects.BGPAdvertisements = put(f, f.Objects.BGPAdvertisements, *o, func(p *v1beta1.BGPAdvertisement) *metav1.ObjectMeta { return &p.ObjectMeta }, nil)
	case *v1beta1.BGPPeer:
		f.Objects.BGPPeers = put(f, f.Objects.BGPPeers, *o, func(p *v1beta1.BGPPeer) *metav1.ObjectMeta { return &p.ObjectMeta }, nil)
	case *v1beta1.Community:
		f.Objects.Communities = put(f, f.Objects.Communities, *o, func(p *v1beta1.Community) *metav1.ObjectMeta { return &p.ObjectMeta }, nil)
	case *v1beta1.BFDProfile:
		f.Objects.BFDProfiles = put(f, f.Objects.BFDProfiles, *o, func(p *v1beta1.BFDProfile) *metav1.ObjectMeta { return &p.ObjectMeta }, nil)
	case *v1beta1.IPReservation:
		f.Reservations = put(f, f.Reservations, *o, func(p *v1beta1.IPReservation) *metav1.ObjectMeta { return &p.ObjectMeta },
			func(p *v1beta1.IPReservation, old v1beta1.IPReservation) { p.Status = old.Status })
	case *corev1.Namespace:
		f.Namespaces = maps.Clone(f.Namespaces)
		f.Namespaces[o.Name] = union(f.Namespaces[o.Name], o.Labels)
	case *corev1.Service:
		return f.applyService(o), nil
	case *corev1.Node:
		return f.applyNode(o), nil
	default:
		return f, fmt.Errorf("%T decides nothing about addresses", o)
	}
	return f, nil
}

// put returns the list with o in it; meta finds its metadata, keep takes over what o does not say, nil where nothing asks for it.
func put[T any](f Facts, list []T, o T, meta func(*T) *metav1.ObjectMeta, keep func(o *T, old T)) []T {
	m := meta(&o)
	out := slices.Clone(list)
	for i := range out {
		if old := meta(&out[i]); old.Name == m.Name && old.Namespace == m.Namespace {
			inherit(m, *old)
			if keep != nil {
				keep(&o, out[i])
			}
			out[i] = o
			return out
		}
	}
	f.birth(m)
	return append(out, o)
}

func inherit(m *metav1.ObjectMeta, old metav1.ObjectMeta) {
	m.UID, m.CreationTimestamp, m.Generation = old.UID, old.CreationTimestamp, old.Generation
	m.Labels, m.Annotations = union(old.Labels, m.Labels), union(old.Annotations, m.Annotations)
}

// birth makes an object the youngest of all.
func (f Facts) birth(m *metav1.ObjectMeta) {
	m.UID, m.CreationTimestamp = types.UID("new-"+m.Namespace+"-"+m.Name), metav1.NewTime(f.Now)
}

func union(old, fresh map[string]string) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, fresh)
	return out
}

func (f Facts) applyService(o *corev1.Service) Facts {
	o = o.DeepCopy()
	i := slices.IndexFunc(f.Services, func(s Service) bool { return s.key() == (Service{Object: o}).key() })
	if i >= 0 {
		old := f.Services[i].Object
		inherit(&o.ObjectMeta, old.ObjectMeta)
		o.Status = old.Status
		fillService(o, old)
	} else {
		f.birth(&o.ObjectMeta)
	}
	s := Service{Object: o, Ours: f.OursIs(o), Endpoints: f.Endpoints[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}]}
	f.Services = slices.Clone(f.Services)
	switch {
	case i >= 0 && o.Spec.Type == corev1.ServiceTypeLoadBalancer:
		f.Services[i] = s
	case i >= 0:
		f.Services = slices.Delete(f.Services, i, i+1)
	case o.Spec.Type == corev1.ServiceTypeLoadBalancer:
		f.Services = append(f.Services, s)
	}
	return f
}

// fillService adds what the API server fills in and manifests leave out.
func fillService(o, old *corev1.Service) {
	if o.Spec.Type == "" {
		o.Spec.Type = corev1.ServiceTypeClusterIP
	}
	if o.Spec.IPFamilies == nil {
		o.Spec.IPFamilies = old.Spec.IPFamilies
	}
	if o.Spec.IPFamilyPolicy == nil {
		o.Spec.IPFamilyPolicy = old.Spec.IPFamilyPolicy
	}
	if o.Spec.ClusterIPs == nil {
		o.Spec.ClusterIP, o.Spec.ClusterIPs = old.Spec.ClusterIP, old.Spec.ClusterIPs
	}
	if o.Spec.LoadBalancerClass == nil {
		o.Spec.LoadBalancerClass = old.Spec.LoadBalancerClass
	}
	for i := range o.Spec.Ports {
		if o.Spec.Ports[i].Protocol == "" {
			o.Spec.Ports[i].Protocol = corev1.ProtocolTCP
		}
	}
}

func (f Facts) applyNode(o *corev1.Node) Facts {
	o = o.DeepCopy()
	f.Nodes = slices.Clone(f.Nodes)
	for i := range f.Nodes {
		if old := f.Nodes[i].Object; old.Name == o.Name {
			inherit(&o.ObjectMeta, old.ObjectMeta)
			o.Status = old.Status
			f.Nodes[i].Object = o
			return f
		}
	}
	f.birth(&o.ObjectMeta)
	f.Nodes = append(f.Nodes, Node{Object: o})
	return f
}

// Delete returns the facts without an object; an error when it is not there.
func (f Facts) Delete(r Ref) (Facts, error) {
	before := f.count()
	switch r.Kind {
	case "IPAddressPool":
		f.Objects.Pools = without(f.Objects.Pools, func(o v1beta1.IPAddressPool) bool { return o.Name == r.Name })
	case "L2Advertisement":
		f.Objects.L2Advertisements = without(f.Objects.L2Advertisements, func(o v1beta1.L2Advertisement) bool { return o.Name == r.Name })
	case "BGPAdvertisement":
		f.Objects.BGPAdvertisements = without(f.Objects.BGPAdvertisements, func(o v1beta1.BGPAdvertisement) bool { return o.Name == r.Name })
	case "BGPPeer":
		f.Objects.BGPPeers = without(f.Objects.BGPPeers, func(o v1beta1.BGPPeer) bool { return o.Name == r.Name })
	case "Community":
		f.Objects.Communities = without(f.Objects.Communities, func(o v1beta1.Community) bool { return o.Name == r.Name })
	case "BFDProfile":
		f.Objects.BFDProfiles = without(f.Objects.BFDProfiles, func(o v1beta1.BFDProfile) bool { return o.Name == r.Name })
	case "IPReservation":
		f.Reservations = without(f.Reservations, func(o v1beta1.IPReservation) bool { return o.Name == r.Name && o.Namespace == r.Namespace })
	case "Service":
		f.Services = without(f.Services, func(s Service) bool { return s.key() == r.NamespacedName })
	case "Node":
		f.Nodes = without(f.Nodes, func(n Node) bool { return n.Object.Name == r.Name })
	}
	if before == f.count() {
		return f, fmt.Errorf("there is no %s", r)
	}
	return f, nil
}

// count counts what can be deleted.
func (f Facts) count() int {
	o := f.Objects
	return len(o.Pools) + len(o.L2Advertisements) + len(o.BGPAdvertisements) + len(o.BGPPeers) + len(o.Communities) + len(o.BFDProfiles) +
		len(f.Reservations) + len(f.Services) + len(f.Nodes)
}

func without[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

// Drained returns the facts as they would be with the node being drained.
func (f Facts) Drained(node string) Facts {
	n, ok := (&View{Facts: f}).node(node)
	if !ok || spec.ParseNode(n.Object).Draining {
		return f
	}
	o := n.Object.DeepCopy()
	o.Spec.Taints = append(o.Spec.Taints, corev1.Taint{Key: v1beta1.Drain, Effect: corev1.TaintEffectNoSchedule})
	return f.applyNode(o)
}
