package spec

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Occupied is addresses that the cluster uses itself, or that somebody else has given away.
type Occupied struct {
	Range
	What string // as in "in the Service CIDR 10.96.0.0/12", "the InternalIP of node n1"
}

// OccupiedByNode reads the addresses of a node and the CIDRs of its pods.
func OccupiedByNode(o *corev1.Node) (out []Occupied) {
	for _, a := range o.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if ip, err := parseAddr(a.Address); err == nil {
			out = append(out, Occupied{Range{ip, ip}, fmt.Sprintf("the %s of node %s", a.Type, o.Name)})
		}
	}
	for _, s := range o.Spec.PodCIDRs {
		out = occupy(out, s, fmt.Sprintf("in the pod CIDR %s of node %s", s, o.Name))
	}
	return out
}

// OccupiedByForeign reads the addresses that somebody else gave to a Service.
func OccupiedByForeign(o *corev1.Service) (out []Occupied) {
	for _, ip := range ParseService(o).Held {
		out = append(out, Occupied{Range{ip, ip}, fmt.Sprintf("in use by Service %s/%s, which another controller serves", o.Namespace, o.Name)})
	}
	return out
}

// OccupiedByServices reads a ServiceCIDR, from which cluster IPs come.
func OccupiedByServices(o *networkingv1.ServiceCIDR) (out []Occupied) {
	for _, s := range o.Spec.CIDRs {
		out = occupy(out, s, "in the Service CIDR "+s)
	}
	return out
}

// ParseOccupied reads the CIDRs of a flag; what names their kind, as in "Service CIDR".
func ParseOccupied(what string, cidrs []string) (out []Occupied, err error) {
	for _, s := range cidrs {
		r, err := parseCIDR(s)
		if err != nil {
			return nil, err
		}
		out = append(out, Occupied{r, fmt.Sprintf("in the %s %s", what, s)})
	}
	return out, nil
}

// occupy adds a prefix; one that does not parse, which the API server does not let in, is passed over.
func occupy(out []Occupied, cidr, what string) []Occupied {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return out
	}
	return append(out, Occupied{rangeOf(p), what})
}
