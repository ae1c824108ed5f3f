package spec

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Node is a node of the cluster, as far as announcing goes.
type Node struct {
	Name     string
	Labels   labels.Set
	Ready    bool // condition Ready is True and NetworkUnavailable is not
	Excluded bool // labelled node.kubernetes.io/exclude-from-external-load-balancers, whatever the value
	Draining bool // drain taint or annotation of ours, or the out-of-service taint
	Cordoned bool // unschedulable

	Annotations map[string]string
	Addresses   []netip.Addr // of type InternalIP
}

// internal returns the first InternalIP of the family, an invalid address where there is none.
func (n Node) internal(f Family) netip.Addr {
	for _, a := range n.Addresses {
		if FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// ParseNode reads a Node, as far as it can be read alone: see NodeRules.
func ParseNode(o *corev1.Node) Node {
	n := Node{Name: o.Name, Labels: o.Labels, Annotations: o.Annotations, Cordoned: o.Spec.Unschedulable}
	for _, a := range o.Status.Addresses {
		if ip, err := parseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			n.Addresses = append(n.Addresses, ip)
		}
	}
	network := true
	for _, c := range o.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			n.Ready = c.Status == corev1.ConditionTrue
		case corev1.NodeNetworkUnavailable:
			network = c.Status != corev1.ConditionTrue
		}
	}
	n.Ready = n.Ready && network
	_, n.Excluded = o.Labels[corev1.LabelNodeExcludeBalancers]
	_, n.Draining = o.Annotations[v1beta1.Drain]
	for _, t := range o.Spec.Taints {
		n.Draining = n.Draining || t.Key == v1beta1.Drain || t.Key == corev1.TaintNodeOutOfService
	}
	return n
}
