package spec

import (
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
}

// ParseNode reads a Node, as far as it can be read alone: see NodeRules.
func ParseNode(o *corev1.Node) Node {
	n := Node{Name: o.Name, Labels: o.Labels, Cordoned: o.Spec.Unschedulable}
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
