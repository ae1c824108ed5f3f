package spec

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// DualStack says how many families a Service must have.
type DualStack uint8

// The three policies of Kubernetes.
const (
	SingleStack DualStack = iota
	PreferDualStack
	RequireDualStack
)

// Port is a port of a Service as clients see it.
type Port struct {
	Protocol corev1.Protocol
	Port     int32
}

// Service is a Service of type LoadBalancer, as far as addresses and announcements go.
type Service struct {
	Key        types.NamespacedName
	UID        types.UID
	Created    time.Time
	Families   []Family // in the Service's own order
	Policy     DualStack
	Ports      []Port
	Local      bool         // externalTrafficPolicy: Local
	Held       []netip.Addr // addresses in its status, in that order
	HeldSince  time.Time    // when the Allocated condition became true; zero when it is not
	Pools      []string     // pools of Held, as the controller noted them; empty when it never marked this Service
	ProxyName  string       // service.kubernetes.io/service-proxy-name: kube-proxy does not serve it
	Terminated bool         // deletionTimestamp is set
	ClientIP   bool         // sessionAffinity: ClientIP

	Labels          Labels
	NamespaceLabels labels.Set   // of its namespace
	WantPool        string       // take addresses of this pool only
	WantIPs         []netip.Addr // have these addresses, and of a family that occurs here no others
	SharingKey      string       // share addresses with others that have the same key
	Reservation     string       // take the addresses of this IPReservation in its namespace
	Reallocate      string       // move to other addresses when this changes
	Reallocated     string       // the last value of Reallocate that was acted upon
	BadWish         string       // why the wishes make no sense; empty when they do
}

// ProxyNameLabel takes a Service away from kube-proxy; its value names who serves it instead.
const ProxyNameLabel = "service.kubernetes.io/service-proxy-name"

// ParseService reads a Service of type LoadBalancer, all but the labels of its namespace. Addresses in its status that do
// not parse (hostnames) are not ours and are passed over.
func ParseService(o *corev1.Service) Service {
	s := ParseHolder(o)
	s.Policy = parsePolicy(o.Spec.IPFamilyPolicy)
	s.parseWishes(o)
	return s
}

// ParseHolder reads what announcing needs of a Service: not what it wishes for, which has been seen to when it has addresses.
func ParseHolder(o *corev1.Service) Service {
	s := Service{
		Key:        types.NamespacedName{Namespace: o.Namespace, Name: o.Name},
		UID:        o.UID,
		Created:    o.CreationTimestamp.Time,
		Local:      o.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		ProxyName:  o.Labels[ProxyNameLabel],
		Terminated: o.DeletionTimestamp != nil,
		ClientIP:   o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP,
		Families:   parseFamilies(o),
		Labels:     NewLabels(o.Labels),
	}
	s.Ports = make([]Port, len(o.Spec.Ports))
	for i, p := range o.Spec.Ports {
		s.Ports[i] = Port{p.Protocol, p.Port}
	}
	s.parseHeld(o)
	if c := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionAllocated); c != nil && c.Status == "True" {
		s.HeldSince = c.LastTransitionTime.Time
	}
	return s
}

// parseHeld reads the addresses of the status and which pools they came from. The controller names the pools in the order
// of the entries that it wrote. Where there are as many names as entries, entries and names go together; where somebody
// has put in entries that are no addresses, or one twice, those have no name.
func (s *Service) parseHeld(o *corev1.Service) {
	ingress := o.Status.LoadBalancer.Ingress
	var at []int // in ingress, of each held address
	for i, in := range ingress {
		if a, err := parseAddr(in.IP); err == nil && !slices.Contains(s.Held, a) {
			s.Held, at = append(s.Held, a), append(at, i)
		}
	}
	from := o.Annotations[v1beta1.AnnotationAllocatedFrom]
	if from == "" {
		return
	}
	s.Pools = strings.Split(from, ",")
	if n := len(s.Pools); n > 1 && n == len(ingress) {
		var named []string
		for _, i := range at {
			named = append(named, s.Pools[i])
		}
		s.Pools = named
	}
}

// PoolOf returns the pool that the i-th held address came from, "" when unknown.
func (s Service) PoolOf(i int) string {
	switch {
	case i < len(s.Pools):
		return s.Pools[i]
	case len(s.Pools) == 1:
		return s.Pools[0]
	}
	return ""
}

func parsePolicy(p *corev1.IPFamilyPolicy) DualStack {
	if p == nil {
		return SingleStack
	}
	switch *p {
	case corev1.IPFamilyPolicyPreferDualStack:
		return PreferDualStack
	case corev1.IPFamilyPolicyRequireDualStack:
		return RequireDualStack
	}
	return SingleStack
}

// parseFamilies falls back to the cluster IPs, for API servers and tests that leave ipFamilies empty, and at last to IPv4.
func parseFamilies(o *corev1.Service) []Family {
	var fs []Family
	for _, f := range o.Spec.IPFamilies {
		if f == corev1.IPv6Protocol {
			fs = append(fs, IPv6)
			continue
		}
		fs = append(fs, IPv4)
	}
	for _, ip := range o.Spec.ClusterIPs {
		if a, err := parseAddr(ip); err == nil && len(o.Spec.IPFamilies) == 0 {
			fs = append(fs, FamilyOf(a))
		}
	}
	if len(fs) == 0 {
		fs = []Family{IPv4}
	}
	return fs
}
