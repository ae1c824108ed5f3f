// Package explain answers "why?" and "what if?" about a cluster.
//
//	Facts (objects, what speakers tell) ──Service, Address, Node, Pool──▶ Explanation: a chain of Links, the first broken one on top
//	Facts, changed objects ──WhatIf──▶ Changes: who would gain, lose, move
//	Cluster (Facts and what else the cluster shows) ──Examine──▶ Findings, each with its remedy
//
// The answers come from the allocator's table and from plan.Make, the very code that the controller and the speakers run,
// so they are what the product does and not a guess. Words has a meaning and a remedy for every reason there is.
//
// The package is pure: it neither reads a cluster nor prints.
package explain
