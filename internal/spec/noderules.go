package spec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// NodeRules says how the marks of nodes are read. Controller and speakers must be given the same ones.
type NodeRules struct {
	// Exclude says what the label node.kubernetes.io/exclude-from-external-load-balancers means.
	Exclude ExcludeLabel
	// DrainOnCordon takes a cordoned node (spec.unschedulable) for one that is being drained.
	DrainOnCordon bool
}

// ExcludeLabel says whether nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce. kubeadm
// sets it on control plane nodes; where there are no others, nobody would be left.
type ExcludeLabel uint8

// The three modes of --exclude-lb-label.
const (
	ExcludeAuto   ExcludeLabel = iota // honoured, unless every ready node has it
	ExcludeHonour                     // nodes with the label announce nothing
	ExcludeIgnore                     // the label means nothing
)

func excludeModes() []string { return []string{"auto", "honour", "ignore"} }

// String returns the word of the flag.
func (e ExcludeLabel) String() string { return excludeModes()[e] }

// Set reads the word of the flag. With String and Type it makes a pflag.Value.
func (e *ExcludeLabel) Set(s string) error {
	for i, mode := range excludeModes() {
		if s == mode {
			*e = ExcludeLabel(i) // #nosec G115 -- one of three
			return nil
		}
	}
	return fmt.Errorf("%q is none of auto, honour and ignore", s)
}

// Type names the flag's value in usage texts.
func (e *ExcludeLabel) Type() string { return "mode" }

// Apply finishes what ParseNode began, with all nodes of the cluster in view: it takes Excluded back from nodes whose label
// does not count, and adds the cordoned to those that are draining. It tells whether the label is ignored although auto
// would honour it: every ready node has it.
//
//	mode     a ready node without the label    every ready node has it    no node is ready
//	honour   honoured                          honoured                   honoured
//	auto     honoured                          ignored, and told          honoured
//	ignore   ignored                           ignored                    ignored
func (r NodeRules) Apply(nodes []*Node) (everyNodeExcluded bool) {
	everyNodeExcluded = r.Exclude == ExcludeAuto && allReadyExcluded(nodes)
	for _, n := range nodes {
		n.Excluded = n.Excluded && r.Exclude != ExcludeIgnore && !everyNodeExcluded
		n.Draining = n.Draining || r.DrainOnCordon && n.Cordoned
	}
	return everyNodeExcluded
}

func allReadyExcluded(nodes []*Node) bool {
	ready := 0
	for _, n := range nodes {
		switch {
		case !n.Ready:
		case !n.Excluded:
			return false
		default:
			ready++
		}
	}
	return ready > 0
}

// EveryNodeExcluded says what Apply has told, in words for conditions.
const EveryNodeExcluded = "every ready node is labelled " + corev1.LabelNodeExcludeBalancers + ", so the label is ignored"
