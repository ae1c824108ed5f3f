package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Reasons of an advertisement's Ready condition that the nodes of the cluster give.
const (
	// reasonNoNode: no node has labels that the advertisement selects.
	reasonNoNode spec.Reason = "NoNodeSelected"
	// reasonNoInterface: no node that the advertisement selects has an interface that it allows.
	reasonNoInterface spec.Reason = "NoInterface"
)

// hint is what the nodes of the cluster make of an advertisement: a problem, or words to add when there is none.
type hint struct {
	problem *spec.Problem
	words   string
}

// hints looks at each advertisement. An advertisement that has a problem here is in use all the same, as soon as a node fits.
func hints(advertisements []spec.L2Advertisement, nodes []plan.Node, everyNodeExcluded bool) map[string]hint {
	out := map[string]hint{}
	for _, a := range advertisements {
		h := hint{problem: misfit(a, nodes)}
		if everyNodeExcluded {
			h.words = "; " + spec.EveryNodeExcluded
		}
		out[a.Name] = h
	}
	return out
}

// misfit tells why no node could announce by the advertisement, whatever state it is in; nil when one could. Of interfaces
// only speakers know: while none of a selected node has spoken, nothing is said about them.
func misfit(a spec.L2Advertisement, nodes []plan.Node) *spec.Problem {
	var selected, heard []plan.Node
	for _, n := range nodes {
		if a.SelectsNode(n.Labels) {
			selected = append(selected, n)
		}
	}
	if len(selected) == 0 && len(nodes) > 0 {
		return &spec.Problem{Kind: "L2Advertisement", Name: a.Name, Reason: reasonNoNode,
			Message: fmt.Sprintf("spec.nodeSelectors: none of the cluster's %d nodes has such labels", len(nodes))}
	}
	for _, n := range selected {
		if n.Alive && len(n.Interfaces) > 0 {
			heard = append(heard, n)
		}
	}
	fits := func(n plan.Node) bool {
		return slices.ContainsFunc(n.Interfaces, func(i plan.Interface) bool { return a.SelectsInterface(i.Name) })
	}
	if len(heard) > 0 && !slices.ContainsFunc(heard, fits) {
		return &spec.Problem{Kind: "L2Advertisement", Name: a.Name, Reason: reasonNoInterface,
			Message: fmt.Sprintf("spec.interfaces: no node has %s; node %s has %s", strings.Join(a.Interfaces, " or "), heard[0].Name, namesOf(heard[0].Interfaces))}
	}
	return nil
}

// namesOf lists five at most.
func namesOf(interfaces []plan.Interface) string {
	var names []string
	for _, i := range interfaces {
		names = append(names, i.Name)
	}
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("%d more", len(names)-5))
	}
	return strings.Join(names, ", ")
}
