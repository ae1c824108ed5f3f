// Package kube is what the controller and the speaker share of Kubernetes: which Services are ours, the scheme, the
// logger, the namespace, the gossip key's Secret and what a cache keeps of an object. It decides nothing about addresses.
package kube
