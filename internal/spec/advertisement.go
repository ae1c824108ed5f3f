package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// L2Advertisement says which pools' addresses are announced with ARP and NDP, and from where.
type L2Advertisement struct {
	Name       string
	Created    time.Time
	Pools      []string          // empty: all
	Nodes      []labels.Selector // one that matches is enough; empty: all
	Interfaces []string          // empty: all
}

// SelectsPool tells whether addresses of the pool are announced.
func (a L2Advertisement) SelectsPool(pool string) bool {
	return len(a.Pools) == 0 || slices.Contains(a.Pools, pool)
}

// SelectsNode tells whether a node with these labels may announce.
func (a L2Advertisement) SelectsNode(l labels.Set) bool {
	return len(a.Nodes) == 0 || slices.ContainsFunc(a.Nodes, func(s labels.Selector) bool { return s.Matches(l) })
}

func parseL2(o *v1beta1.L2Advertisement) (L2Advertisement, *Problem) {
	a := L2Advertisement{
		Name:       o.Name,
		Created:    o.CreationTimestamp.Time,
		Pools:      slices.Clone(o.Spec.IPAddressPools),
		Interfaces: slices.Clone(o.Spec.Interfaces),
	}
	for i := range o.Spec.NodeSelectors {
		s, err := metav1.LabelSelectorAsSelector(&o.Spec.NodeSelectors[i])
		if err != nil {
			return L2Advertisement{}, l2Problem(o.Name, ReasonBadSelector, fmt.Sprintf("spec.nodeSelectors[%d]: %v", i, err))
		}
		a.Nodes = append(a.Nodes, s)
	}
	return a, nil
}

// unknownPools is a hint, not a refusal: the pool may come later, and the advertisement's other pools work meanwhile.
func unknownPools(a L2Advertisement, exists map[string]bool) *Problem {
	var missing []string
	for _, p := range a.Pools {
		if !exists[p] {
			missing = append(missing, p)
		}
	}
	if missing == nil {
		return nil
	}
	return l2Problem(a.Name, ReasonUnknownPool, fmt.Sprintf("spec.ipAddressPools: there is no IPAddressPool %s", strings.Join(missing, ", ")))
}

func l2Problem(name string, reason Reason, message string) *Problem {
	return &Problem{Kind: "L2Advertisement", Name: name, Reason: reason, Message: message}
}
